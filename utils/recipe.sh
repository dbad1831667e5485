# shellcheck shell=bash
# Options of all recipes:
#   --stage N             first stage to run (default: 0)
#   --stop_stage N        last stage to run (default: 7)
#   --system NAMES        systems of conf/systems or of the recipe's own conf, separated by commas
#   --seed N              random seed (default: the system's, seed_everything in its configuration)
#   --seeds "N N ..."     several seeds; stages 4 and 5 are one array job each over systems and seeds, as many at a time as
#                         there is room for, and one that fails does not stop the others
#   --tag TEXT            name of the experiment: exp/<system>_<tag>, with --seeds exp/<system>_<tag>_s<seed>
#   --nj N                parallel jobs of stages 1 to 3, on the CPU of this machine also of 4 and 5 (default: one a core)
#   --ngpu N              GPUs of stages 3 to 5 (default: 0, the CPU)
#   --num_nodes N         nodes of a training, --ngpu GPUs on each; needs cmd_backend=slurm (default: 1)
#   --precision P         fp32, bf16 or fp16 for what stage 3 computes (default: what dump/ holds already, or else fp32)
#   --train_args TEXT     overrides of the configuration, e.g. "--trainer.max_epochs 5 --optimizer.init_args.lr 1e-4"
#   --score_args TEXT     options of spooftrace score, e.g. "--data.eval_crop full"
#   --allow_module NAME   a Python package of your own whose classes the configuration of the system names
#   --allow_partial true  prepare what is there of a corpus that is not complete
#   --on_bad_audio skip   leave damaged recordings out, listed in data/<set>/bad_audio.txt, instead of stopping
# Stages:
#   0  find or download the corpora (db.sh) and the pretrained models
#   1  data directories from the official protocols, durations
#   2  derived sets
#   3  extract cached streams to dump/
#   4  train in exp/<system>_s<seed>/
#   5  score the test sets
#   6  evaluate
#   7  report: RESULTS.md and figures/
# A finished stage runs again in seconds. Where jobs run is set in cmd.sh, where the corpora lie in db.sh.

# What the run.sh files of all recipes share: their options and the steps of their stages. A run.sh goes to its folder,
# sets its own options, sources this file, which reads the command line, checks its own options, and calls `start`.

case " $* " in *" --help "* | *" -h "*) # before anything is installed
  for file in run.sh ../../utils/recipe.sh; do # the comment at the top of each
    sed -n '/^# shellcheck/d; /^#!/d; /^#/!q; s/^# \{0,1\}//p' "$file"
  done
  exit 0 ;;
esac

stage=0
stop_stage=7
system=default
seed=default
seeds=default
tag=
nj=$(getconf _NPROCESSORS_ONLN)
ngpu=0
num_nodes=1
precision=
train_args=
score_args=
allow_module=
allow_partial=false
on_bad_audio=fail

. ../../utils/parse_options.sh

log() { echo "$(date +%T) ${SPOOFTRACE_SWEEP:+${PWD##*/}: }$*" >&2; }
refuse() { echo "run.sh: $1 (try --help)" >&2; exit 1; }
runs() { [ "$stage" -le "$1" ] && [ "$stop_stage" -ge "$1" ]; }
data_dirs() { printf 'data/%s ' "$@"; } # data_dirs SET ...: their folders

default_system() { [ "$system" != default ] || system=$1; } # default_system NAMES: for recipes with others than aasist

[ $# -eq 0 ] || refuse "unexpected argument '$1'"

# start [OPTION ...]: check the options, list the experiments with the options of `utils/experiments.py plan`, and set
# the paths. Options of spooftrace that follow from those of run.sh are then in $extract_options, $train_options,
# $score_options and $report_options.
start() {
  default_system aasist
  jobs=${SPOOFTRACE_JOBS:-$(mktemp -d)} # a sweep has one folder for all recipes
  plan=$(mktemp)
  trap finish EXIT
  ../../utils/experiments.py plan --stage "$stage" --stop-stage "$stop_stage" --system "$system" --seed "$seed" \
    --seeds "$seeds" --tag "$tag" --nj "$nj" --ngpu "$ngpu" --num-nodes "$num_nodes" --allow-module "$allow_module" \
    --on-bad-audio "$on_bad_audio" "$@" >"$plan" || exit 1
  . ./path.sh
  . ./cmd.sh
  . ./db.sh
  [ "$num_nodes" -eq 1 ] || [ "$cmd_backend" = slurm ] || refuse "option --num_nodes needs cmd_backend=slurm"

  launching=(--jobs "$jobs" --plan "$plan" --train-cmd "$train_cmd" --cuda-cmd "$cuda_cmd" --cmd-backend "$cmd_backend"
    --nj "$nj" --ngpu "$ngpu" --num-nodes "$num_nodes")
  case ${SPOOFTRACE_SWEEP:-} in # what utils/sweep.sh runs this recipe for
    check) exit 0 ;;
    launch) experiments.py launch --recipe "${PWD##*/}" "${launching[@]}"; exit 0 ;;
    add) launching+=(--recipe "${PWD##*/}") ;;
    alone) launching+=(--recipe "${PWD##*/}") ;;
  esac

  local allow=() gpu=$((ngpu > 0))
  [ -z "$allow_module" ] || allow=(--allow-module "$allow_module")
  extract_options=("${allow[@]}" ${precision:+--precision "$precision"})
  train_options=("${allow[@]}" --ngpu "$ngpu" --seed_everything SEED)
  [ "$num_nodes" -eq 1 ] || train_options+=(--num-nodes "$num_nodes")
  # shellcheck disable=SC2206  # these hold several words
  train_options+=($train_args) score_options=("${allow[@]}" --ngpu "$gpu" $score_args)
  report_options=()
  [ ! -f conf/published.tsv ] || report_options=(--published conf/published.tsv)
}

# finish: name the jobs that failed, since they do not stop the others.
finish() {
  local status=$? failed=
  rm -f -- "$plan"
  [ -z "${SPOOFTRACE_SWEEP:-}" ] || return 0
  [ ! -f "$jobs/failed" ] || failed=$(paste -sd ' ' "$jobs/failed")
  rm -r -- "$jobs"
  [ -n "$failed" ] || return 0
  echo "run.sh: failed: $failed (the same command again does what is missing)" >&2
  exit "$((status > 0 ? status : 1))"
}

# array STEP COMMAND ...: COMMAND for each experiment, all together one array job; STEP is train or score. In COMMAND the
# words EXP, DUMP, SEED, CONFIG and START stand for the values of the experiment.
array() { experiments.py array "${launching[@]}" "$@"; }

# trained: the folders of the experiments of which no job has failed.
trained() { experiments.py remaining "${launching[@]}"; }

# pretrained_models: those that the systems need and that can be had without a model hub.
pretrained_models() {
  local name configs
  cut -f2,6 "$plan" | sort -u | while IFS=$'\t' read -r name configs; do
    tr ' ' '\n' <<<"$configs" | grep -v conf/vectors/ | tr '\n' '\0' | xargs -0 grep -q "openai/whisper-base" || continue
    ../../tools/get_model.sh whisper-base </dev/null || {
      echo "run.sh: $name needs Whisper-base; --system lfcc_linear or aasist_l needs no pretrained model" >&2; exit 1; }
  done
}

# corpus NAME VARIABLE: check the folder that db.sh gives; download the corpus if it lies below downloads/.
corpus() {
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

# optional_corpus NAME VARIABLE WHAT: as corpus; without a folder WHAT is left out.
optional_corpus() {
  if [ -n "${!2}" ]; then corpus "$1" "$2"; else log "db.sh: $2 is empty: going on without $3 (spooftrace download $1)"; fi
}

# prepare NAME ROOT [OPTION ...]: data directories of a corpus.
prepare() {
  local options=()
  [ -n "$2" ] || { echo "run.sh: db.sh has no folder for $1; stage 0 says what to set" >&2; exit 1; }
  [ "$allow_partial" = false ] || options+=(--allow-partial)
  spooftrace prepare "$1" --root "$2" --out data "${options[@]}" "${@:3}"
}

# prepared SET ...: print those of them that have been prepared.
prepared() {
  local set
  for set; do
    if [ -f "data/$set/utt2spk" ]; then echo "$set"; else log "data/$set is not there, so it is left out"; fi
  done
}

# require_data SET ...: stop before any job is started if one of them has not been prepared.
require_data() {
  local set missing=()
  for set; do [ -f "data/$set/utt2spk" ] || missing+=("data/$set"); done
  if [ $# -eq 0 ]; then
    echo "run.sh: no test set is prepared; run stages 1 and 2 first (--stage 1)" >&2
  elif [ ${#missing[@]} -gt 0 ]; then
    echo "run.sh: not prepared: ${missing[*]}; run stages 1 and 2 first (--stage 1)" >&2
  else
    return 0
  fi
  exit 1
}

# cpu_jobs LOG COMMAND ...: COMMAND as an array job on CPUs, then once more to collect the results.
cpu_jobs() {
  $train_cmd --num-threads 1 JOB=1:"$nj" "$1" "${@:2}" --job JOB --num-jobs "$nj"
  "${@:2}" --num-jobs "$nj" --collect
}

# extract_streams SET ...: the cached streams of all systems, system by system; those of one folder dump/MODEL once.
extract_streams() {
  local systems line name dump configs options extracted=
  require_data "$@"
  readarray -t systems < <(cut -f2,4,6 "$plan" | awk '!seen[$0]++')
  for line in "${systems[@]}"; do
    IFS=$'\t' read -r name dump configs <<<"$line"
    [[ " $extracted " != *" $dump "* ]] || continue
    [ "$dump" = dump ] || extracted+=" $dump"
    log "stage 3: extract cached streams of $name"
    read -ra options <<<"$(printf -- '--config %s ' $configs)"
    $train_cmd --num-threads 1 --gpu "$ngpu" JOB=1:"$nj" "$dump/log/$name.JOB.log" \
      spooftrace extract "${options[@]}" --dump "$dump" --data $(data_dirs "$@") "${extract_options[@]}" \
      --job JOB --num-jobs "$nj" --ngpu "$((ngpu > 0))"
    spooftrace extract "${options[@]}" --dump "$dump" --data $(data_dirs "$@") "${extract_options[@]}" --num-jobs "$nj" --collect
  done
}

# evaluate EXP SCORES METRICS SET [OPTION ...]: metrics of a test set from EXP/SET/SCORES, with tables.
evaluate() {
  local folder=$1/${4##*/} # scores are kept by the last part of the name
  spooftrace evaluate --data "data/$4" --scores "$folder/$2" "${@:5}" --out "$folder/$3" --tables "$folder"
}

# evaluate_task TASK EXP SET [OPTION ...]: as the task of a recipe asks for; a system with several heads has scores_TASK.txt
# beside scores.txt, which are those of detection.
evaluate_task() {
  local folder=$2/${3##*/}
  if [ -f "$folder/scores_$1.txt" ]; then
    evaluate "$2" "scores_$1.txt" "metrics_$1.json" "$3" "${@:4}"
    spooftrace evaluate --data "data/$3" --scores "$folder/scores.txt" --out "$folder/metrics.json"
  else
    evaluate "$2" scores.txt metrics.json "$3" "${@:4}"
  fi
}

# draw_balls SET: where the codecs of the set lie in the balls of each HYDRA.
draw_balls() {
  local exp name dump exps
  exps=$(trained)
  for exp in $exps; do
    IFS=$'\t' read -r name dump < <(awk -F'\t' -v folder="$exp" '$1 == folder' "$plan" | cut -f2,4)
    [[ $name != hydra* ]] || draw_balls.py "$exp" "data/$1" figures --dump "$dump"
  done
}
