"""Other projects' checkpoint formats -> ours, one module per family."""
