"""A run's files: what lies where, scores as tables, who votes in an ensemble. No torch."""
