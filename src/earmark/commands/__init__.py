"""The commands, one file each: options, the call, what is printed. Slow imports happen only when a command runs."""
