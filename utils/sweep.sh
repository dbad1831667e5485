#!/usr/bin/env bash
# Systems, corpora and seeds as one submission: all trainings are one array job, and so are all scorings.
#
# Usage: utils/sweep.sh --recipes "NAME ..." [options of the recipes' run.sh]
#   e.g. utils/sweep.sh --recipes "asvspoof2019 codecfake_plus" --system aasist,sls --seeds "1 2 3" --ngpu 1
#
# The other stages run recipe by recipe. Jobs are launched as cmd.sh and path.sh of the first recipe say. Systems that
# start from another one of the sweep are an array of their own, after the first.
# What fails stops nothing else; it is named in the end, and the exit status is 1. The same line again does what is missing.
# How far it is:  spooftrace status egs/*/exp --watch 30
set -euo pipefail

case " $* " in *" --help "* | *" -h "*) sed -n '/^#!/d; /^#/!q; s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
fail() { echo "sweep.sh: $1 (try --help)" >&2; exit 1; }

egs=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../egs" && pwd)
names=
stage=0
stop_stage=7
options=()
while [ $# -gt 0 ]; do
  [[ $1 == --* && $1 != *=* && $# -gt 1 ]] || fail "options have the form --name VALUE, found '$1'"
  case ${1//-/_} in
    __recipes) names=$2 ;;
    __stage) stage=$2 ;;
    __stop_stage) stop_stage=$2 ;;
    *) options+=("$1" "$2") ;;
  esac
  shift 2
done
read -ra recipes <<<"$names"
[ ${#recipes[@]} -gt 0 ] || fail "option --recipes names no recipe"
seen=" "
for recipe in "${recipes[@]}"; do
  [[ $recipe != */* && -f $egs/$recipe/run.sh ]] || fail "no recipe '$recipe' in egs: $(cd "$egs" && echo *)"
  [[ $seen != *" $recipe "* ]] || fail "option --recipes names $recipe twice"
  seen+="$recipe "
done

export SPOOFTRACE_JOBS
SPOOFTRACE_JOBS=$(mktemp -d)
trap 'rm -r -- "$SPOOFTRACE_JOBS"' EXIT
touch "$SPOOFTRACE_JOBS/failed"
launcher=${recipes[0]}
stopped=()

run() { # run ROLE RECIPE [OPTION ...]; ROLE is check (the options), alone (run stages),
  # add (jobs to the lists) or launch (the jobs of all recipes)
  SPOOFTRACE_SWEEP=$1 "$egs/$2/run.sh" "${options[@]}" "${@:3}"
}

each() { # each ROLE FROM TO: stages of all recipes, as far as they are asked for; a recipe that fails goes no further
  local from=$(($2 > stage ? $2 : stage)) to=$(($3 < stop_stage ? $3 : stop_stage)) going=() recipe status
  [ "$from" -le "$to" ] || return 0
  for recipe in "${recipes[@]}"; do
    status=0
    run "$1" "$recipe" --stage "$from" --stop_stage "$to" || status=$?
    case $status in
      0) going+=("$recipe") ;;
      1) stopped+=("$recipe") ;;
      *) exit "$status" ;; # interrupted, or nothing can be launched at all
    esac
  done
  recipes=("${going[@]}")
}

for recipe in "${recipes[@]}"; do # nothing begins before all of them can
  run check "$recipe" --stage "$stage" --stop_stage "$stop_stage"
done
each alone 0 3
for step in 4 5; do
  [ "$stage" -le "$step" ] && [ "$step" -le "$stop_stage" ] || continue
  each add "$step" "$step"
  run launch "$launcher"
done
each alone 6 7

failed=$(sed 's|^\.\./|egs/|' "$SPOOFTRACE_JOBS/failed" | paste -sd ' ')
[ ${#stopped[@]} -eq 0 ] || echo "sweep.sh: ended before the last stage: ${stopped[*]}" >&2
[ -z "$failed" ] || echo "sweep.sh: failed: $failed (the same command again does what is missing)" >&2
[ -z "$failed${stopped[*]}" ]
