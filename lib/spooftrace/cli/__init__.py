"""The ``spooftrace`` command: one module a sub-command."""
