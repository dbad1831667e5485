# Sourced by run.sh: where the corpus lies. Empty: a message says what to get from where. downloads/NAME: it is downloaded there.
CODECFAKE_PLUS=${CODECFAKE_PLUS:-}             # folder with CoRS_labels.txt, CoRS/, CoSG_labels.txt, CoSG/
CODECFAKE_PLUS_LISTS=${CODECFAKE_PLUS_LISTS:-} # clone of ResponsibleGenAI/CodecFake-Source-Tracing; empty: lists are drawn
