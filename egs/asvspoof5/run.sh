#!/usr/bin/env bash
# ASVspoof 5, Track 1 (countermeasure alone), closed condition.
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
  corpus asvspoof5 ASVSPOOF5
  pretrained_models
fi

if runs 1; then
  log "stage 1: data directories"
  prepare asvspoof5 "$ASVSPOOF5"
  cpu_jobs data/log/durations.JOB.log \
    spooftrace durations --data $(data_dirs train $(prepared $tests)) \
    --on-bad-audio "$on_bad_audio"
fi

if runs 2; then
  log "stage 2: the eval set by codec condition, data/eval_C01 to eval_C11"
  for set in $(prepared eval); do
    for condition in $(cut -d' ' -f2 "data/$set/utt2cond" | sort -u | grep '^C'); do
      subset_data_dir.sh --where "utt2cond=$condition" "data/$set" "data/${set}_$condition"
    done
  done
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
  spooftrace report --exp exp --out RESULTS.md --figures figures --title "ASVspoof 5, Track 1" "${report_options[@]}"
fi
