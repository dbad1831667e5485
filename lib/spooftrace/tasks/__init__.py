"""Prediction tasks: targets, loss and scores. One task per file."""

from spooftrace.tasks.attribution import Attribution
from spooftrace.tasks.base import Task
from spooftrace.tasks.detection import Detection
from spooftrace.tasks.multi import MultiAttribution
from spooftrace.tasks.parsing import Parsing

__all__ = ["Attribution", "Detection", "MultiAttribution", "Parsing", "Task"]
