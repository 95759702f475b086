"""Output: figures, and pages to listen to."""
