"""Weights of pretrained models: finding, fetching, converting and reading them without running their code."""
