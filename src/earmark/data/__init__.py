"""From a data set's tables to training batches: sources, manifest, store, clips, batches."""
