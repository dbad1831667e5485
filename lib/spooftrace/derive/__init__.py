"""New data directories from existing ones: durations, trimmed copies, codec, vocoder and channel copies."""
