"""Denoising: a trained generator applied to recordings and files."""
