"""The numbers of README.md and docs/: measuring them, and filling them in. See results.py."""
