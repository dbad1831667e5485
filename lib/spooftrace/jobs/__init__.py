"""The launchers behind utils/run.py, slurm.py and sge.py, and the experiments and array jobs of recipes.

These modules use the standard library only and import only each other, so that the scripts in utils/ run on a login
node or a fresh machine where nothing has been installed yet.
"""
