"""Tagging with a finished model."""
