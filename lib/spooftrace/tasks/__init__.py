"""What is predicted: targets, loss and scores. One task a file."""

from spooftrace.tasks.base import Task
from spooftrace.tasks.detection import Detection

__all__ = ["Detection", "Task"]
