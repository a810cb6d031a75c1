"""Training a recipe on a store: splits, stages, streams, the loop, the bundle at the end."""
