"""Signals: sines, noises, recordings, and the data folder that holds them."""
