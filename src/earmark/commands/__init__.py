"""One file a command: its options, the call, what it prints. What takes long to import is imported when the command runs."""
