# Sourced by run.sh: where the corpora lie. Empty: a message says what to get from where. downloads/NAME: it is downloaded there.
ASVSPOOF2019=${ASVSPOOF2019:-} # folder with LA/
ASVSPOOF2021=${ASVSPOOF2021:-} # folder with ASVspoof2021_LA_eval/, ASVspoof2021_DF_eval/ and keys/; optional
IN_THE_WILD=${IN_THE_WILD:-}   # folder with release_in_the_wild/; optional
