"""What `tests/torture.py` does to earmark, a file a kind. It starts the commands as a user does, and knows nothing of the code."""
