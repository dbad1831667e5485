"""Stage 4: train a system, resumable at any moment, on one or several processes."""
