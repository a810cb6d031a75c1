"""Tagging sounds with a finished model, a bundle."""
