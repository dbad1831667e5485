"""Numbers out of scores. Arrays in, plain numbers out; no files and no torch."""

from spooftrace.metrics.detection import det_curve, eer, ties_across_classes

__all__ = ["det_curve", "eer", "ties_across_classes"]
