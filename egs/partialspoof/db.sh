# Sourced by run.sh: where the corpus lies. Empty: a message says what to get from where. downloads/NAME: it is downloaded there.
PARTIALSPOOF=${PARTIALSPOOF:-} # folder with database/
