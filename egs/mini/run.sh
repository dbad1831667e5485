#!/usr/bin/env bash
# The mini recipe: real human speech, spoofed copies of it, a trained detector, its results. Runs anywhere, in minutes.
# It shows that everything works; its figures say nothing about published benchmarks.
#
# Usage: ./run.sh [options]      default systems: lfcc_linear,whisper_linear
#
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
system=lfcc_linear,whisper_linear
. ../../utils/recipe.sh

if runs 0; then
  log "stage 0: pretrained models; the corpus comes with the repository"
  pretrained_models
fi

if runs 1; then
  log "stage 1: data directories and spoofed copies"
  spooftrace prepare mini --root "$MINI" --out data
  $train_cmd --num-threads 1 JOB=1:"$nj" data/log/spoof.JOB.log \
    spooftrace codec resynthesize data/train data/dev data/eval \
    --codec "$MINI/codec_rvq8.safetensors" --job JOB --num-jobs "$nj"
  for set in train dev eval; do validate_data_dir.sh --check-audio "data/$set"; done
fi

if runs 2; then
  log "stage 2: nothing to derive"
fi

for name in "${systems[@]}"; do
  use_system "$name"
  if runs 3; then extract_streams train dev eval; fi
  if runs 4; then train_system train dev; fi
  if runs 5; then score_sets dev eval; fi
  if runs 6; then evaluate_sets dev eval; fi
done

if runs 7; then report "Mini corpus"; fi
