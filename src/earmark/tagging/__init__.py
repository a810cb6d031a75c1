"""Tagging with a finished model, a bundle."""
