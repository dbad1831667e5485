"""Launchers on clusters: the contract of all of them, SLURM, and Grid Engine."""
