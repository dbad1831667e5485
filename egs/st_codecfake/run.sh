#!/usr/bin/env bash
# ST-Codecfake: trained on six neural codecs, evaluated on them, on five unseen ones, and on audio language models.
#
# Usage: ./run.sh [options]      default system: aasist
#
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
. ../../utils/recipe.sh

tests="eval_id eval_unseen eval_alm"

if runs 0; then
  log "stage 0: corpus and pretrained models"
  corpus st_codecfake ST_CODECFAKE
  pretrained_models
fi

if runs 1; then
  log "stage 1: data directories"
  prepare st_codecfake "$ST_CODECFAKE"
  durations train dev eval_id eval_ood alm_moshi alm_mini-omni alm_speechgpt-gen alm_valle
fi

if runs 2; then
  log "stage 2: unseen codecs and language models, each beside the real speech of eval_id"
  subset_data_dir.sh --where utt2label=bonafide data/eval_id data/real
  combine_data.sh data/eval_unseen data/real data/eval_ood
  combine_data.sh data/eval_alm data/real data/alm_*
fi

for name in "${systems[@]}"; do
  use_system "$name"
  if runs 3; then extract_streams train dev $tests; fi
  if runs 4; then train_system train dev; fi
  if runs 5; then score_sets $tests; fi
  if runs 6; then evaluate_sets $tests; fi
done

if runs 7; then report "ST-Codecfake"; fi
