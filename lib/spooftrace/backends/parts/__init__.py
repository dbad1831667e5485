"""Layers and losses that several back-ends share."""
