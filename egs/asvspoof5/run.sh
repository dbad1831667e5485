#!/usr/bin/env bash
# ASVspoof 5, Track 1 (countermeasure alone), closed condition.
#
# Usage: ./run.sh [options]      default system: aasist
#
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
. ../../utils/recipe.sh

tests="dev eval"

if runs 0; then
  log "stage 0: corpus and pretrained models"
  corpus asvspoof5 ASVSPOOF5
  pretrained_models
fi

if runs 1; then
  log "stage 1: data directories"
  prepare asvspoof5 "$ASVSPOOF5"
  durations train $(prepared $tests)
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
if runs 4; then train_systems train dev; fi
if runs 5; then score_sets $tests; fi
if runs 6; then evaluate_sets $tests; fi
if runs 7; then report "ASVspoof 5, Track 1"; fi
