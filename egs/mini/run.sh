#!/usr/bin/env bash
# The mini recipe: real human speech, spoofed copies of it, a trained detector, its results. Runs anywhere, in minutes.
# It shows that everything works; its figures say nothing about published benchmarks.
#
# Usage: ./run.sh [options]      default systems: lfcc_linear,whisper_linear
#   --task TASK           detect (default); vq, aux, dec or codec: which kind of codec, or which one; parse: kHz, kbit/s, Q
#
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
task=detect
. ../../utils/recipe.sh
sets="train dev eval train_8khz dev_8khz eval_8khz"
train=train dev=dev tests="dev eval" evaluate_options=()
default_system lfcc_linear,whisper_linear
case $task in
  detect) start ;;
  vq | aux | dec | codec)
    train=train_codecs dev=dev_codecs tests="dev_codecs eval_codecs eval_codecs_trim"
    evaluate_options=(--task attribution --labels "utt2$task")
    start --task "$task" ;;
  parse)
    train=train_parse dev=dev_parse tests="dev_parse eval_parse"
    evaluate_options=(--task parsing --train-data data/train_parse)
    start --task parse ;;
  *) refuse "option --task needs detect, vq, aux, dec, codec or parse, found '$task'" ;;
esac

if runs 0; then
  log "stage 0: pretrained models; the corpus comes with the repository"
  pretrained_models
fi

if runs 1; then
  log "stage 1: data directories and spoofed copies"
  spooftrace prepare mini --root "$MINI" --out data
  $train_cmd --num-threads 1 JOB=1:"$nj" data/log/spoof.JOB.log \
    spooftrace codec resynthesize $(data_dirs $sets) --job JOB --num-jobs "$nj"
  python3 local/check_copies.py data
  python3 local/make_tts.py data
  for set in $sets $(prepared eval_tts); do validate_data_dir.sh --check-audio "data/$set"; done
fi

if runs 2; then
  log "stage 2: does anything trivial tell copies from bona fide speech? The answer is data/audit/audit.png"
  spooftrace audit data/train data/dev data/eval --label utt2label --out data/audit
  case $task in
    vq | aux | dec | codec)
      log "stage 2: codec copies and bona fide speech, without the vocoders' copies; the test set also without silence"
      for set in train dev eval; do subset_data_dir.sh --where utt2subset!=vocoder "data/$set" "data/${set}_codecs"; done
      cpu_jobs data/log/trim.JOB.log spooftrace trim --data data/eval_codecs ;;
    parse)
      log "stage 2: codec copies alone, those at 8 kHz among them"
      for set in train dev eval; do
        subset_data_dir.sh --where utt2codec!=-,real "data/$set" "data/${set}_copies"
        combine_data.sh "data/${set}_parse" "data/${set}_copies" "data/${set}_8khz"
      done ;;
  esac
fi

[ "$task" != detect ] || [ "$stop_stage" -lt 2 ] || tests="dev eval $(prepared eval_tts)"

if runs 3; then extract_streams $train $tests; fi

if runs 4; then
  require_data $train $dev
  array train spooftrace train CONFIG --dump DUMP --train "data/$train" --dev "data/$dev" --exp EXP START "${train_options[@]}"
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
    for set in $tests; do evaluate_task "$task" "$exp" "$set" "${evaluate_options[@]}"; done
  done
fi

if runs 7; then
  log "stage 7: report"
  spooftrace report --exp exp --out RESULTS.md --figures figures --title "Mini corpus" "${report_options[@]}"
  if [ "$task" = parse ]; then draw_balls eval_parse; fi
fi
