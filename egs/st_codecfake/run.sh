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
. ../../utils/recipe.sh
train=train dev=dev evaluate_options=()
case $task in
  detect)
    tests="eval_id eval_unseen eval_alm"
    start ;;
  codec) # known classes, bona fide speech among them; the same and unseen codecs
    tests="eval_id eval_open"
    evaluate_options=(--task attribution --labels utt2codec)
    default_system parse_linear
    start --task codec --ptm "$ptm" ;;
  parse)
    train=train_parse dev=dev_parse tests="eval_parse"
    evaluate_options=(--task parsing --train-data data/train_parse)
    default_system parse_linear,nacsp_cnn,nacsp_hyperbolic,hydra,mio,aasist_parsing
    start --task parse --ptm "$ptm" ;;
  *) refuse "option --task needs detect, codec or parse, found '$task'" ;;
esac

alm="alm_moshi alm_mini-omni alm_speechgpt-gen alm_valle"

if runs 0; then
  log "stage 0: corpus and pretrained models"
  corpus st_codecfake ST_CODECFAKE
  pretrained_models
fi

if runs 1; then
  log "stage 1: data directories"
  prepare st_codecfake "$ST_CODECFAKE"
  cpu_jobs data/log/durations.JOB.log \
    spooftrace durations --data $(data_dirs train dev eval_id $(prepared eval_ood $alm)) \
    --on-bad-audio "$on_bad_audio"
fi

if runs 2; then
  case $task in
    detect)
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
  if [ "$task" = parse ]; then draw_balls eval_parse; fi
  spooftrace report --exp exp --out RESULTS.md --figures figures --title "ST-Codecfake" "${report_options[@]}"
fi
