# Sourced by run.sh: where the corpora lie. Empty: a message says what to get from where. downloads/NAME: it is downloaded there.
CODECFAKE_WU=${CODECFAKE_WU:-}   # CodecFake of Wu et al. 2024: datalist.csv and the wav folders
CODECFAKE_XIE=${CODECFAKE_XIE:-} # Codecfake of Xie et al. 2024: label/, train/, dev/, test/; optional
