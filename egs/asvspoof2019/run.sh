#!/usr/bin/env bash
# ASVspoof 2019 LA: trained and developed on it, evaluated on its eval set, on ASVspoof 2021 LA and DF, and In-the-Wild.
#
# Usage: ./run.sh [options]      default system: aasist
#
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
. ../../utils/recipe.sh
start

tests="eval la_eval df_eval in_the_wild"

if runs 0; then
  log "stage 0: corpora and pretrained models"
  corpus asvspoof2019 ASVSPOOF2019
  optional_corpus asvspoof2021 ASVSPOOF2021 "la_eval and df_eval"
  optional_corpus in_the_wild IN_THE_WILD "in_the_wild"
  pretrained_models
fi

if runs 1; then
  log "stage 1: data directories"
  prepare asvspoof2019 "$ASVSPOOF2019"
  [ -z "$ASVSPOOF2021" ] || prepare asvspoof2021 "$ASVSPOOF2021"
  [ -z "$IN_THE_WILD" ] || prepare in_the_wild "$IN_THE_WILD"
  cpu_jobs data/log/durations.JOB.log \
    spooftrace durations --data $(data_dirs train dev $(prepared $tests)) \
    --on-bad-audio "$on_bad_audio"
fi

if runs 2; then
  log "stage 2: nothing to derive"
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
  spooftrace report --exp exp --out RESULTS.md --figures figures --title "ASVspoof 2019 LA" "${report_options[@]}"
fi
