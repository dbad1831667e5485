"""Stage 7: the metrics of all experiments -> RESULTS.md and figures. Starts without matplotlib."""

from spooftrace.report.commands import add_arguments, run

__all__ = ["add_arguments", "run"]
