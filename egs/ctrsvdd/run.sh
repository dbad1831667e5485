#!/usr/bin/env bash
# CtrSVDD: singing voice deepfake detection under controlled conditions (SVDD Challenge 2024).
#
# Usage: ./run.sh [options]      default system: aasist
#   Without the four singing databases that the licence leaves out (db.sh), add --allow_partial true.
#
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
. ../../utils/recipe.sh
start

tests="dev eval"
singing=()
for database in "oniku=$ONIKU" "ofuton=$OFUTON" "kiritan=$KIRITAN" "jvs=$JVSMUSIC"; do
  [ -z "${database#*=}" ] || singing+=(--bonafide "$database")
done
[ -z "$CTRSVDD_TIMESTAMPS" ] || singing+=(--timestamps "$CTRSVDD_TIMESTAMPS")

if runs 0; then
  log "stage 0: corpus and pretrained models"
  corpus ctrsvdd CTRSVDD
  pretrained_models
fi

if runs 1; then
  log "stage 1: data directories; cuts the bona fide singing of other databases"
  prepare ctrsvdd "$CTRSVDD" "${singing[@]}"
  cpu_jobs data/log/durations.JOB.log \
    spooftrace durations --data $(data_dirs train $(prepared $tests)) \
    --on-bad-audio "$on_bad_audio"
fi

if runs 2; then
  log "stage 2: the trials that the challenge ranks by, without ACESinger"
  for set in $(prepared eval); do
    subset_data_dir.sh --where 'utt2attack!=A14' --where 'utt2source!=acesinger' "data/$set" "data/${set}_ranked"
  done
fi

[ "$stop_stage" -lt 2 ] || tests=$(prepared $tests)

if runs 3; then extract_streams train dev $tests; fi

if runs 4; then
  require_data train dev
  array train spooftrace train CONFIG --dump DUMP --train "data/train" --dev "data/dev" --exp EXP START "${train_options[@]}"
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
    for set in $tests; do evaluate "$exp" scores.txt metrics.json "$set"; done
  done
fi

if runs 7; then
  log "stage 7: report"
  spooftrace report --exp exp --out RESULTS.md --figures figures --title "CtrSVDD" "${report_options[@]}"
fi
