"""Training: the loop, the losses, the run directory."""
