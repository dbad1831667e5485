"""A trained system on recordings, without a data directory: ``spooftrace detect`` and ``spooftrace trace``."""
