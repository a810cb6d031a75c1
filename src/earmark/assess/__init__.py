"""Comparing scores with labels: metrics, reports, the audit of labels, runs side by side, submissions. Imports torch only to score."""
