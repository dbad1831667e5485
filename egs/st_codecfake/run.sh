#!/usr/bin/env bash
# ST-Codecfake: trained on six neural codecs, evaluated on them, on five unseen ones, and on audio language models.
#
# Usage: ./run.sh [options]      default system: aasist
#
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
. ../../utils/recipe.sh

tests="eval_id eval_unseen eval_alm"
alm="alm_moshi alm_mini-omni alm_speechgpt-gen alm_valle"

if runs 0; then
  log "stage 0: corpus and pretrained models"
  corpus st_codecfake ST_CODECFAKE
  pretrained_models
fi

if runs 1; then
  log "stage 1: data directories"
  prepare st_codecfake "$ST_CODECFAKE"
  durations train dev eval_id $(prepared eval_ood $alm)
fi

if runs 2; then
  log "stage 2: unseen codecs and language models, each beside the real speech of eval_id"
  subset_data_dir.sh --where utt2label=bonafide data/eval_id data/real
  for unseen in $(prepared eval_ood); do combine_data.sh data/eval_unseen data/real "data/$unseen"; done
  alm=$(prepared $alm)
  [ -z "$alm" ] || combine_data.sh data/eval_alm data/real $(printf 'data/%s ' $alm)
fi
[ "$stop_stage" -lt 2 ] || tests=$(prepared $tests)

for name in "${systems[@]}"; do
  use_system "$name"
  if runs 3; then extract_streams train dev $tests; fi
  if runs 4; then train_system train dev; fi
  if runs 5; then score_sets $tests; fi
  if runs 6; then evaluate_sets $tests; fi
done

if runs 7; then report "ST-Codecfake"; fi
