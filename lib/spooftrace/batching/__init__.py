"""From a data directory and the streams of a system to batches, by role."""
