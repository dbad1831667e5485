#!/usr/bin/env bash
# CodecFake (Wu et al.), fifteen neural codecs of VCTK speech; and Codecfake (Xie et al.) as a second test where it is there.
#
# Usage: ./run.sh [options]
#   --task TASK           detect (default): bona fide or spoof; default system aasist
#                         parse: sampling rate, bitrate and number of quantizers of the codec; default systems parse_linear,
#                         nacsp_cnn, nacsp_hyperbolic, hydra, mio and aasist_parsing
#   --ptm NAMES           with parse: pretrained models of conf/vectors, separated by commas (default: all eight)
#
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
task=detect
ptm=all
. ../../utils/recipe.sh
case $task in
  detect) start ;;
  parse)
    default_system parse_linear,nacsp_cnn,nacsp_hyperbolic,hydra,mio,aasist_parsing
    start --task parse --ptm "$ptm" ;;
  *) refuse "option --task needs detect or parse, found '$task'" ;;
esac

train=train dev=dev tests="eval $(echo xie/C{1..7} xie/A{1..3})"

if runs 0; then
  log "stage 0: corpora and pretrained models"
  corpus codecfake_wu CODECFAKE_WU
  optional_corpus codecfake_xie CODECFAKE_XIE "Codecfake of Xie et al."
  pretrained_models
fi

if runs 1; then
  log "stage 1: data directories"
  prepare codecfake_wu "$CODECFAKE_WU"
  [ -z "$CODECFAKE_XIE" ] || prepare codecfake_xie "$CODECFAKE_XIE" --out data/xie
  cpu_jobs data/log/durations.JOB.log \
    spooftrace durations --data $(data_dirs train dev $(prepared $tests)) \
    --on-bad-audio "$on_bad_audio"
fi

[ "$stop_stage" -lt 2 ] || tests=$(prepared $tests)
evaluate_options=()
if [ "$task" = parse ]; then
  if runs 2; then
    log "stage 2: codec speech alone"
    for set in train dev eval; do subset_data_dir.sh --where utt2label=spoof "data/$set" "data/${set}_parse"; done
  fi
  train=train_parse dev=dev_parse tests=eval_parse
  evaluate_options=(--task parsing --train-data data/train_parse)
fi

if runs 3; then extract_streams $train $dev $tests; fi

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
    for set in $tests; do evaluate "$exp" scores.txt metrics.json "$set" "${evaluate_options[@]}"; done
  done
fi

if runs 7; then
  log "stage 7: report"
  if [ "$task" = parse ]; then draw_balls eval_parse; fi
  spooftrace report --exp exp --out RESULTS.md --figures figures --title "CodecFake" "${report_options[@]}"
fi
