"""Runs the command line: ``python -m earmark``."""

from earmark.cli import main

main()
