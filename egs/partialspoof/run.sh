#!/usr/bin/env bash
# PartialSpoof: is any part of the utterance spoofed?
#
# Usage: ./run.sh [options]      default system: aasist
#
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
. ../../utils/recipe.sh
start

tests="dev eval"

if runs 0; then
  log "stage 0: corpus and pretrained models"
  corpus partialspoof PARTIALSPOOF
  pretrained_models
fi

if runs 1; then
  log "stage 1: data directories, with the labels of segments"
  prepare partialspoof "$PARTIALSPOOF"
  cpu_jobs data/log/durations.JOB.log \
    spooftrace durations --data $(data_dirs train $(prepared $tests)) \
    --on-bad-audio "$on_bad_audio"
fi

[ "$stop_stage" -lt 2 ] || tests=$(prepared $tests)

if runs 3; then extract_streams train dev $tests; fi

if runs 4; then
  require_data train dev
  array train spooftrace train CONFIG --dump DUMP --train "data/train" --dev "data/dev" --exp EXP START "${train_options[@]}"
fi

if runs 5; then
  require_data $tests
  array score spooftrace score --exp EXP --dump DUMP --data $(data_dirs $tests) "${score_options[@]}"
fi

if runs 6; then
  require_data $tests
  exps=$(trained)
  for exp in $exps; do
    log "stage 6: evaluate $exp"
    for set in $tests; do evaluate "$exp" scores.txt metrics.json "$set"; done
  done
fi

if runs 7; then
  log "stage 7: report"
  spooftrace report --exp exp --out RESULTS.md --figures figures --title "PartialSpoof" "${report_options[@]}"
fi
