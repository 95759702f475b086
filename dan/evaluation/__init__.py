"""Evaluation: measures, baselines, bounds, sweeps, tables."""
