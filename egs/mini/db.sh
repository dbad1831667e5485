# Sourced by run.sh: where the corpora are. The mini corpus comes with the repository.
MINI=corpus
