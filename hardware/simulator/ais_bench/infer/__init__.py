"""Inference, as in the real package."""
