"""Stage 7: the metrics of all experiments -> RESULTS.md and figures. Starts without matplotlib."""
