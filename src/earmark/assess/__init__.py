"""Comparing scores with labels: metrics, reports, the audit of labels, runs side by side, submission files."""
