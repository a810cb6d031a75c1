"""Scores: computing them, their intervals, the report."""
