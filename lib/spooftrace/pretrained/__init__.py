"""Weights of pretrained models: find, fetch and convert them, and read them without running their code."""
