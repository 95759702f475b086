"""Training: its state, its folder, its checkpoints."""
