"""Trained systems on single audio files: ``detect`` scores them, ``trace`` names their codec."""
