"""A system: streams, a back-end and a task; the experiment that holds a trained one."""
