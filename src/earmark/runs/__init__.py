"""The files of a run: where each one is, scores as tables, which nets vote in an ensemble. No torch."""
