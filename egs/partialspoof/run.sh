#!/usr/bin/env bash
# PartialSpoof: is any part of the utterance spoofed?
#
# Usage: ./run.sh [options]      default system: aasist
#
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
. ../../utils/recipe.sh

tests="dev eval"

if runs 0; then
  log "stage 0: corpus and pretrained models"
  corpus partialspoof PARTIALSPOOF
  pretrained_models
fi

if runs 1; then
  log "stage 1: data directories, with the labels of segments"
  prepare partialspoof "$PARTIALSPOOF"
  durations train $(prepared $tests)
fi

[ "$stop_stage" -lt 2 ] || tests=$(prepared $tests)
if runs 3; then extract_streams train dev $tests; fi
if runs 4; then train_systems train dev; fi
if runs 5; then score_sets $tests; fi
if runs 6; then evaluate_sets $tests; fi
if runs 7; then report "PartialSpoof"; fi
