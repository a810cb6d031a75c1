"""Training a recipe on a store: splits, stages, streams of batches, the training loop, the bundle at the end."""
