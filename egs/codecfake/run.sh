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
for _word; do # the default systems depend on the task
  [ "${_last:-}/$_word" != --task/parse ] || system=${system:-parse_linear,nacsp_cnn,nacsp_hyperbolic,hydra,mio,aasist_parsing}
  _last=$_word
done
own_options() {
  case $task in
    detect) task= ;;
    parse) . ../../utils/vector_grid.sh ;;
    *) _refuse "option --task needs detect or parse, found '$task'" ;;
  esac
}
. ../../utils/recipe.sh

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
  durations train dev $(prepared $tests)
fi

[ "$stop_stage" -lt 2 ] || tests=$(prepared $tests)
if [ "$task" = parse ]; then
  if runs 2; then
    log "stage 2: codec speech alone"
    for set in train dev eval; do subset_data_dir.sh --where utt2label=spoof "data/$set" "data/${set}_parse"; done
  fi
  train=train_parse dev=dev_parse tests=eval_parse
fi

if runs 3; then extract_streams $train $dev $tests; fi
if runs 4; then train_systems $train $dev; fi
if runs 5; then score_sets $tests; fi
if runs 6; then evaluate_sets $tests; fi
if runs 7; then
  if [ "$task" = parse ]; then each_experiment draw_balls eval_parse; fi
  report "CodecFake"
fi
