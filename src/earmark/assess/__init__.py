"""Comparing scores with labels: metrics, the report, submission files. Imports torch only to score."""
