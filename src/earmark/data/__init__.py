"""From files and tables of labels to batches on a device."""
