# shellcheck shell=bash
# Options of all recipes:
#   --stage N             first stage to run (default: 0)
#   --stop_stage N        last stage to run (default: 7)
#   --system NAMES        systems of conf/systems, separated by commas
#   --seed N              random seed (default: 1234)
#   --tag TEXT            name of the experiment, exp/<system>_<tag> (default: s<seed>)
#   --nj N                parallel jobs of stages 1 to 3 (default: one a core)
#   --ngpu N              GPUs of stages 3 to 5 (default: 0, the CPU)
#   --precision P         fp32, bf16 or fp16 for what stage 3 computes (default: fp32)
#   --train_args TEXT     overrides of the configuration, e.g. "--trainer.max_epochs 5 --optimizer.init_args.lr 1e-4"
#   --allow_partial true  prepare what is there of a corpus that is not complete
#   --on_bad_audio skip   leave damaged recordings out, listed in data/<set>/bad_audio.txt, instead of stopping
# Stages:
#   0  find or download the corpora (db.sh) and the pretrained models
#   1  data directories from the official protocols, durations
#   2  derived sets
#   3  extract cached streams to dump/
#   4  train in exp/<system>_<tag>/
#   5  score the test sets
#   6  evaluate
#   7  report: RESULTS.md and figures/
# A finished stage runs again in seconds. Where jobs run is set in cmd.sh, where the corpora lie in db.sh.

# What the run.sh of a recipe shares with all others. Sourced in the recipe's folder, after the variables that the recipe
# sets otherwise; reads the options, sets the paths, and defines the steps that stages are made of.

case " $* " in *" --help "* | *" -h "*) # before anything is installed
  for _file in run.sh ../../utils/recipe.sh; do # the comment at the top of each
    sed -n '/^# shellcheck/d; /^#!/d; /^#/!q; s/^# \{0,1\}//p' "$_file"
  done
  exit 0 ;;
esac

stage=0
stop_stage=7
system=${system:-aasist}
seed=1234
tag=
nj=$(getconf _NPROCESSORS_ONLN)
ngpu=0
precision=fp32
train_args=
allow_partial=false
on_bad_audio=fail

. ../../utils/parse_options.sh
_refuse() { echo "run.sh: $1 (try --help)" >&2; exit 1; }
[ $# -eq 0 ] || _refuse "unexpected argument '$1'"
for _name in stage stop_stage seed nj ngpu; do
  [[ ${!_name} =~ ^[0-9]+$ ]] || _refuse "option --$_name needs a whole number, found '${!_name}'"
done
[ "$nj" -gt 0 ] || _refuse "option --nj needs at least 1"
{ [ "$stage" -le "$stop_stage" ] && [ "$stage" -le 7 ]; } || _refuse "no stages from $stage to $stop_stage: they are 0 to 7"
[[ $on_bad_audio =~ ^(fail|skip)$ ]] || _refuse "option --on_bad_audio needs fail or skip, found '$on_bad_audio'"
. ./path.sh
. ./cmd.sh
. ./db.sh

log() { echo "$(date +%T) $*" >&2; }
runs() { [ "$stage" -le "$1" ] && [ "$stop_stage" -ge "$1" ]; }
data_dirs() { local set; for set; do dirs+=("data/$set"); done; }

IFS=, read -ra systems <<<"$system"
[ ${#systems[@]} -gt 0 ] || _refuse "option --system names no system"
for _name in "${systems[@]}"; do # a misspelt name should not cost three stages
  [ -f "../../conf/systems/$_name.yaml" ] && continue
  echo "run.sh: no system '$_name' in conf/systems: $(cd ../../conf/systems && echo *.yaml)" >&2
  exit 1
done

pretrained_models() { # those that the systems need and that can be had without a model hub
  local name
  for name in "${systems[@]}"; do
    grep -qs "openai/whisper-base" "../../conf/systems/$name.yaml" || continue
    ../../tools/get_model.sh whisper-base || {
      echo "run.sh: $name needs Whisper-base; --system lfcc_linear or aasist_l needs no pretrained model" >&2; exit 1; }
  done
}

corpus() { # corpus NAME VARIABLE: the root that db.sh gives, downloaded where it is below downloads/
  local name=$1 variable=$2 root=${!2}
  case $root in
    "")
      spooftrace download "$name"
      echo "run.sh: db.sh has no folder for $name: set $variable to where it lies, or to downloads/$name to get it" >&2
      exit 1 ;;
    downloads/*) spooftrace download "$name" --to "$root" ;;
    *) [ -d "$root" ] || { echo "run.sh: db.sh: $variable=$root: no such folder" >&2; exit 1; } ;;
  esac
}

optional_corpus() { # optional_corpus NAME VARIABLE WHAT: as corpus; without a root WHAT is left out
  if [ -n "${!2}" ]; then corpus "$1" "$2"; else log "db.sh: $2 is empty: going on without $3 (spooftrace download $1)"; fi
}

prepare() { # prepare NAME ROOT [OPTION ...]: data directories of a corpus
  local options=()
  [ -n "$2" ] || { echo "run.sh: db.sh has no folder for $1; stage 0 says what to set" >&2; exit 1; }
  [ "$allow_partial" = false ] || options+=(--allow-partial)
  spooftrace prepare "$1" --root "$2" --out data "${options[@]}" "${@:3}"
}

prepared() { # prepared SET ...: those of them that stage 1 could make of what is there
  local set
  for set; do
    if [ -f "data/$set/utt2spk" ]; then echo "$set"; else log "data/$set is not there, so it is left out"; fi
  done
}

durations() { # durations SET ...: utt2dur, an array job that also finds damaged files
  local dirs=()
  data_dirs "$@"
  $train_cmd --num-threads 1 JOB=1:"$nj" data/log/durations.JOB.log \
    spooftrace durations --data "${dirs[@]}" --on-bad-audio "$on_bad_audio" --job JOB --num-jobs "$nj"
  spooftrace durations --data "${dirs[@]}" --on-bad-audio "$on_bad_audio" --num-jobs "$nj" --collect
}

trim_sets() { # trim_sets SET ...: data/SET_trim, copies without silence
  local dirs=()
  data_dirs "$@"
  $train_cmd --num-threads 1 JOB=1:"$nj" data/log/trim.JOB.log \
    spooftrace trim --data "${dirs[@]}" --job JOB --num-jobs "$nj"
  spooftrace trim --data "${dirs[@]}" --num-jobs "$nj" --collect
}

use_system() { # use_system NAME: its experiment folder, and its configuration: as published, then the recipe's overrides
  name=$1
  exp=exp/${name}_${tag:-s$seed}
  config=(--config "../../conf/systems/$name.yaml")
  [ ! -f "conf/$name.yaml" ] || config+=(--config "conf/$name.yaml")
}

extract_streams() { # extract_streams SET ...
  local dirs=()
  data_dirs "$@"
  log "stage 3: extract cached streams of $name"
  $train_cmd --num-threads 1 --gpu "$ngpu" JOB=1:"$nj" "dump/log/$name.JOB.log" \
    spooftrace extract "${config[@]}" --data "${dirs[@]}" --precision "$precision" \
    --job JOB --num-jobs "$nj" --ngpu "$((ngpu > 0))"
  spooftrace extract "${config[@]}" --data "${dirs[@]}" --num-jobs "$nj" --collect
}

train_system() { # train_system TRAIN DEV
  log "stage 4: train $name in $exp"
  # shellcheck disable=SC2086  # train_args holds several words
  $cuda_cmd --gpu "$ngpu" "$exp/train.log" \
    spooftrace train "${config[@]}" --train "data/$1" --dev "data/$2" --exp "$exp" --ngpu "$ngpu" \
    --seed_everything "$seed" $train_args
}

score_sets() { # score_sets SET ...
  local dirs=()
  data_dirs "$@"
  log "stage 5: score with $exp"
  $cuda_cmd --gpu "$((ngpu > 0))" "$exp/score.log" \
    spooftrace score --exp "$exp" --data "${dirs[@]}" --ngpu "$((ngpu > 0))"
}

evaluate_sets() { # evaluate_sets SET ...: metrics and tables, as the corpus of the set is evaluated
  local set
  log "stage 6: evaluate $exp"
  for set; do # scores are kept by the last part of the name
    spooftrace evaluate --data "data/$set" --scores "$exp/${set##*/}/scores.txt" \
      --out "$exp/${set##*/}/metrics.json" --tables "$exp/${set##*/}"
  done
}

report() { # report TITLE
  log "stage 7: report"
  spooftrace report --exp exp --out RESULTS.md --figures figures --title "$1"
}
