#!/usr/bin/env bash
# ASVspoof 5, Track 1 (countermeasure alone), closed condition.
#
# Usage: ./run.sh [options]      default system: aasist
#
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
. ../../utils/recipe.sh

if runs 0; then
  log "stage 0: corpus and pretrained models"
  corpus asvspoof5 ASVSPOOF5
  pretrained_models
fi

if runs 1; then
  log "stage 1: data directories"
  prepare asvspoof5 "$ASVSPOOF5"
  durations train dev eval
fi

if runs 2; then
  log "stage 2: the eval set by codec condition, data/eval_C01 to eval_C11"
  for condition in $(cut -d' ' -f2 data/eval/utt2cond | sort -u | grep '^C'); do
    subset_data_dir.sh --where "utt2cond=$condition" data/eval "data/eval_$condition"
  done
fi

for name in "${systems[@]}"; do
  use_system "$name"
  if runs 3; then extract_streams train dev eval; fi
  if runs 4; then train_system train dev; fi
  if runs 5; then score_sets dev eval; fi
  if runs 6; then evaluate_sets dev eval; fi
done

if runs 7; then report "ASVspoof 5, Track 1"; fi
