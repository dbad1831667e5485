#!/usr/bin/env bash
# ST-Codecfake: trained on six neural codecs, evaluated on them, on five unseen ones, and on audio language models.
#
# Usage: ./run.sh [options]
#   --task TASK           detect (default): bona fide or spoof; default system aasist
#                         codec: which of the six codecs, or none of them; default system parse_linear, on the streams of
#                         parse: sampling rate, bitrate and number of quantizers of the codec; default systems parse_linear,
#                         nacsp_cnn, nacsp_hyperbolic, hydra, mio and aasist_parsing
#   --ptm NAMES           for these two: pretrained models of conf/vectors, separated by commas (default: all eight)
#
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
task=detect
ptm=all
for _word; do # the default system depends on the task
  case ${_last:-}/$_word in
    --task/codec) system=${system:-parse_linear} ;;
    --task/parse) system=${system:-parse_linear,nacsp_cnn,nacsp_hyperbolic,hydra,mio,aasist_parsing} ;;
  esac
  _last=$_word
done
train=train dev=dev tests="eval_id eval_unseen eval_alm"
own_options() {
  case $task in
    detect) task= ;;
    codec) tests="eval_id eval_open" ;; # known classes, bona fide speech among them; the same and unseen codecs
    parse) train=train_parse dev=dev_parse tests="eval_parse" ;;
    *) _refuse "option --task needs detect, codec or parse, found '$task'" ;;
  esac
  [ -z "$task" ] || . ../../utils/vector_grid.sh
}
. ../../utils/recipe.sh

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
  case $task in
    "")
      log "stage 2: unseen codecs and language models, each beside the real speech of eval_id"
      subset_data_dir.sh --where utt2label=bonafide data/eval_id data/real
      for unseen in $(prepared eval_ood); do combine_data.sh data/eval_unseen data/real "data/$unseen"; done
      # Sets that the corpus lacks are named all the same: then eval_alm is marked as incomplete.
      [ -z "$(prepared $alm)" ] || combine_data.sh data/eval_alm data/real $(printf 'data/%s ' $alm) ;;
    codec)
      log "stage 2: known and unseen codecs together"
      combine_data.sh data/eval_open data/eval_id data/eval_ood ;;
    parse)
      log "stage 2: codec speech alone, in the test set known and unseen codecs"
      for set in train dev eval_id; do subset_data_dir.sh --where utt2label=spoof "data/$set" "data/${set}_parse"; done
      combine_data.sh data/eval_parse data/eval_id_parse data/eval_ood ;;
  esac
fi

[ "$stop_stage" -lt 2 ] || tests=$(prepared $tests)
if runs 3; then extract_streams $train $dev $tests; fi
if runs 4; then train_systems $train $dev; fi
if runs 5; then score_sets $tests; fi
if runs 6; then evaluate_sets $tests; fi
if runs 7; then
  if [ "$task" = parse ]; then each_experiment draw_balls eval_parse; fi
  report "ST-Codecfake"
fi
