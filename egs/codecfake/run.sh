#!/usr/bin/env bash
# CodecFake (Wu et al.), fifteen neural codecs of VCTK speech; and Codecfake (Xie et al.) as a second test where it is there.
#
# Usage: ./run.sh [options]      default system: aasist
#
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
. ../../utils/recipe.sh

tests="eval $(echo xie/C{1..7} xie/A{1..3})"

if runs 0; then
  log "stage 0: corpora and pretrained models"
  corpus codecfake_wu CODECFAKE_WU
  optional_corpus codecfake_xie CODECFAKE_XIE "Codecfake of Xie et al."
  pretrained_models
fi

if runs 1; then
  log "stage 1: data directories"
  prepare codecfake_wu "$CODECFAKE_WU"
  [ -z "$CODECFAKE_XIE" ] || prepare codecfake_xie "$CODECFAKE_XIE" --out data/xie
  durations train dev $(prepared $tests)
fi

[ "$stop_stage" -lt 2 ] || tests=$(prepared $tests)
for name in "${systems[@]}"; do
  use_system "$name"
  if runs 3; then extract_streams train dev $tests; fi
  if runs 4; then train_system train dev; fi
  if runs 5; then score_sets $tests; fi
  if runs 6; then evaluate_sets $tests; fi
done

if runs 7; then report "CodecFake"; fi
