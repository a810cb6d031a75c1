"""Slow, obvious versions of what the package does fast: one clip, one class, one number at a time."""
