#!/usr/bin/env bash
# The mini recipe: real human speech, spoofed copies of it, a trained detector, its results. Runs anywhere, in minutes.
# It shows that everything works; its figures say nothing about published benchmarks.
#
# Usage: ./run.sh [options]
#   --stage N          first stage to run (default: 0)
#   --stop_stage N     last stage to run (default: 7)
#   --system NAMES     systems of conf/systems, separated by commas (default: lfcc_linear,whisper_linear)
#   --seed N           random seed (default: 1234)
#   --nj N             parallel jobs of stages 1 and 3 (default: one a core)
#   --tag TEXT         name of the experiment, exp/<system>_<tag> (default: s<seed>)
#   --ngpu N           GPUs of stages 3 to 5 (default: 0, the CPU)
#   --train_args TEXT  overrides of the configuration, e.g. "--trainer.max_epochs 5 --optimizer.init_args.lr 1e-4"
# Stages:
#   0  get the pretrained models that the systems need, check the corpus
#   1  prepare data/{train,dev,eval}: unpack the recordings, make the spoofed copies
#   2  (nothing to derive from this corpus)
#   3  extract cached streams to dump/
#   4  train in exp/<system>_<tag>/
#   5  score dev and eval
#   6  evaluate
#   7  report: RESULTS.md and figures/
# A finished stage runs again in seconds. Where jobs run is set in cmd.sh, where the corpus lies in db.sh.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
stage=0
stop_stage=7
system=lfcc_linear,whisper_linear
seed=1234
tag=
nj=$(getconf _NPROCESSORS_ONLN)
ngpu=0
train_args=

. ../../utils/parse_options.sh
. ./path.sh
. ./cmd.sh
. ./db.sh
[ $# -eq 0 ] || { echo "run.sh: unexpected argument '$1' (try --help)" >&2; exit 1; }

log() { echo "$(date +%T) $*" >&2; }
runs() { [ "$stage" -le "$1" ] && [ "$stop_stage" -ge "$1" ]; }

sets="train dev eval"
root=../..
IFS=, read -ra systems <<<"$system"
for name in "${systems[@]}"; do # a misspelt name should not cost three stages
  [ -f "$root/conf/systems/$name.yaml" ] && continue
  echo "run.sh: no system '$name' in conf/systems: $(cd $root/conf/systems && echo *.yaml)" >&2
  exit 1
done
config() { # the system as published, then this recipe's overrides of it
  echo "--config $root/conf/systems/$1.yaml"
  [ ! -f "conf/$1.yaml" ] || echo "--config conf/$1.yaml"
}

if runs 0; then
  log "stage 0: pretrained models and corpus"
  for name in "${systems[@]}"; do
    grep -qs "openai/whisper-base" "$root/conf/systems/$name.yaml" || continue
    "$root/tools/get_model.sh" whisper-base || {
      echo "run.sh: $name needs Whisper-base; --system lfcc_linear or aasist_l needs no pretrained model" >&2; exit 1; }
  done
fi

if runs 1; then
  log "stage 1: data directories and spoofed copies"
  spooftrace prepare mini --root "$MINI" --out data
  $train_cmd --num-threads 1 JOB=1:"$nj" data/log/spoof.JOB.log \
    spooftrace codec resynthesize data/train data/dev data/eval \
    --codec "$MINI/codec_rvq8.safetensors" --job JOB --num-jobs "$nj"
  for set in $sets; do validate_data_dir.sh --check-audio "data/$set"; done
fi

if runs 2; then
  log "stage 2: nothing to derive"
fi

for name in "${systems[@]}"; do
  exp=exp/${name}_${tag:-s$seed}

  if runs 3; then
    log "stage 3: extract cached streams of $name"
    for set in $sets; do
      # shellcheck disable=SC2046  # the two words of an option
      $train_cmd --num-threads 1 --gpu "$ngpu" JOB=1:"$nj" "dump/log/$name.$set.JOB.log" \
        spooftrace extract $(config "$name") --data "data/$set" --job JOB --num-jobs "$nj" --ngpu "$((ngpu > 0))"
      # shellcheck disable=SC2046
      spooftrace extract $(config "$name") --data "data/$set" --num-jobs "$nj" --collect
    done
  fi

  if runs 4; then
    log "stage 4: train $name in $exp"
    # shellcheck disable=SC2046,SC2086  # train_args holds several words
    $cuda_cmd --gpu "$ngpu" "$exp/train.log" \
      spooftrace train $(config "$name") --train data/train --dev data/dev --exp "$exp" --ngpu "$ngpu" \
      --seed_everything "$seed" $train_args
  fi

  if runs 5; then
    log "stage 5: score with $exp"
    for set in dev eval; do
      $cuda_cmd --gpu "$((ngpu > 0))" "$exp/$set/score.log" \
        spooftrace score --exp "$exp" --data "data/$set" --ngpu "$((ngpu > 0))"
    done
  fi

  if runs 6; then
    log "stage 6: evaluate $exp"
    for set in dev eval; do
      spooftrace evaluate --data "data/$set" --scores "$exp/$set/scores.txt" --out "$exp/$set/metrics.json"
    done
  fi
done

if runs 7; then
  log "stage 7: report"
  spooftrace report --exp exp --out RESULTS.md --figures figures --title "Mini corpus"
fi
