#!/usr/bin/env bash
# The mini recipe: real human speech, spoofed copies of it, a trained detector, its results. Runs anywhere, in minutes.
# It shows that everything works; its figures say nothing about published benchmarks.
#
# Usage: ./run.sh [options]      default systems: lfcc_linear,whisper_linear
#
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
system=lfcc_linear,whisper_linear
sets="train dev eval train_8khz dev_8khz eval_8khz"
. ../../utils/recipe.sh

if runs 0; then
  log "stage 0: pretrained models; the corpus comes with the repository"
  pretrained_models
fi

if runs 1; then
  log "stage 1: data directories and spoofed copies"
  spooftrace prepare mini --root "$MINI" --out data
  dirs=()
  data_dirs $sets
  $train_cmd --num-threads 1 JOB=1:"$nj" data/log/spoof.JOB.log \
    spooftrace codec resynthesize "${dirs[@]}" --job JOB --num-jobs "$nj"
  python3 local/make_tts.py data
  for set in $sets $(prepared eval_tts); do validate_data_dir.sh --check-audio "data/$set"; done
fi

if runs 2; then
  log "stage 2: does anything trivial tell copies from bona fide speech? The answer is data/audit/audit.png"
  spooftrace audit data/train data/dev data/eval --label utt2label --out data/audit
fi

[ "$stop_stage" -lt 2 ] || tests="dev eval $(prepared eval_tts)"
for name in "${systems[@]}"; do
  use_system "$name"
  if runs 3; then extract_streams train $tests; fi
  if runs 4; then train_system train dev; fi
  if runs 5; then score_sets $tests; fi
  if runs 6; then evaluate_sets $tests; fi
done

if runs 7; then report "Mini corpus"; fi
