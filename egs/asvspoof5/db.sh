# Sourced by run.sh: where the corpus lies. Empty: a message says what to get from where. downloads/NAME: it is downloaded there.
ASVSPOOF5=${ASVSPOOF5:-} # folder with flac_T/, flac_D/, flac_E_eval/ and the protocols
