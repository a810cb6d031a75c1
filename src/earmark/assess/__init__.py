"""Scores held against labels: figures, report, submission files. No torch."""
