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

# What the run.sh of a recipe shares with all others. Sourced in the recipe's folder, after the variables that the recipe
# sets otherwise; reads the options, sets the paths, and defines the steps that stages are made of. Options that only one
# recipe has are checked by its function own_options, which is called before anything is installed.

case " $* " in *" --help "* | *" -h "*) # before anything is installed
  for _file in run.sh ../../utils/recipe.sh; do # the comment at the top of each
    sed -n '/^# shellcheck/d; /^#!/d; /^#/!q; s/^# \{0,1\}//p' "$_file"
  done
  exit 0 ;;
esac

stage=0
stop_stage=7
system=${system:-aasist}
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
task=${task:-} # of a recipe that has several: bin, vq, aux, dec, codec or parse; none is detection
_refuse() { echo "run.sh: $1 (try --help)" >&2; exit 1; }
[ $# -eq 0 ] || _refuse "unexpected argument '$1'"
[ "$seed" = default ] || [ "$seeds" = default ] || _refuse "give --seed or --seeds, not both"
seed_given=true
if [ "$seed" = default ]; then
  seed=1234 # of what the recipe itself draws
  [ "$seeds" != default ] || seed_given=false
fi
# Names of experiments are names of folders in exp/, which status and report look through.
[[ -z $tag || $tag =~ ^[A-Za-z0-9][A-Za-z0-9_.+=-]*$ ]] || _refuse "option --tag needs letters, digits and . _ + = -, found '$tag'"
allowed=()
[[ -z $allow_module || $allow_module =~ ^[A-Za-z_][A-Za-z0-9_.]*$ ]] ||
  _refuse "option --allow_module needs the name of a Python module, found '$allow_module'"
[ -z "$allow_module" ] || allowed=(--allow-module "$allow_module")
for _name in stage stop_stage seed nj ngpu num_nodes; do
  [[ ${!_name} =~ ^[0-9]+$ ]] || _refuse "option --$_name needs a whole number, found '${!_name}'"
done
for _name in nj num_nodes; do [ "${!_name}" -gt 0 ] || _refuse "option --$_name needs at least 1"; done
{ [ "$stage" -le "$stop_stage" ] && [ "$stage" -le 7 ]; } || _refuse "no stages from $stage to $stop_stage: they are 0 to 7"
[[ $on_bad_audio =~ ^(fail|skip)$ ]] || _refuse "option --on_bad_audio needs fail or skip, found '$on_bad_audio'"
seed_list=("$seed")
if [ "$seeds" != default ]; then
  read -ra seed_list <<<"$seeds"
  [ ${#seed_list[@]} -gt 0 ] || _refuse "option --seeds names no seed"
  _seen=" "
  for _name in "${seed_list[@]}"; do
    [[ $_name =~ ^(0|[1-9][0-9]*)$ ]] || _refuse "option --seeds needs whole numbers, found '$_name'"
    [[ $_seen != *" $_name "* ]] || _refuse "option --seeds names $_name twice"
    _seen+="$_name "
  done
fi
IFS=, read -ra systems <<<"$system"
[ ${#systems[@]} -gt 0 ] || _refuse "option --system names no system"
system_files() { # system_files NAME: its configuration as published, as the recipe differs from that, or the recipe's own
  local folder file
  for folder in ../../conf/systems conf; do # NAME_TASK before NAME, where a recipe has tasks
    for file in "$folder/$1${task:+_$task}.yaml" "$folder/$1.yaml"; do
      if [ -f "$file" ]; then echo "$file"; break; fi
    done
  done
}
for _name in "${systems[@]}"; do
  [[ $_name =~ ^[A-Za-z0-9][A-Za-z0-9_.+-]*(/[A-Za-z0-9_-]+)?$ ]] || _refuse "option --system needs names, found '$_name'"
done
for _name in "${systems[@]}"; do # a misspelt name should not cost three stages
  [ -z "$(system_files "$_name")" ] || continue
  _refuse "no system '$_name' in conf/systems or the recipe's conf: $(
    find ../../conf/systems conf -maxdepth 1 -name '*.yaml' 2>/dev/null | sed 's|.*/||; s|\.yaml$||' | sort -u | paste -sd ' ')"
done
if declare -F own_options >/dev/null; then own_options; fi
. ./path.sh
. ./cmd.sh
. ./db.sh
[ "$num_nodes" -eq 1 ] || [ "$cmd_backend" = slurm ] || _refuse "option --num_nodes needs cmd_backend=slurm"
. ../../utils/jobs.sh
case $sweep in
  check) exit ;;
  launch) launch_jobs; exit ;;
esac

log() { echo "$(date +%T) ${sweep:+${PWD##*/}: }$*" >&2; }
runs() { [ "$stage" -le "$1" ] && [ "$stop_stage" -ge "$1" ]; }
data_dirs() { local set; for set; do dirs+=("data/$set"); done; }

pretrained_models() { # those that the systems need and that can be had without a model hub
  local name
  for name in "${systems[@]%/*}"; do
    system_files "$name" | tr '\n' '\0' | xargs -0 grep -q "openai/whisper-base" || continue
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

require_data() { # require_data SET ...: stages 1 and 2 have made them; said before anything is started
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

variant= # set by a recipe whose option makes other data of the corpus, for the names of the experiments
dump=dump # where stage 3 stores streams

use_system() { # use_system NAME: its configuration, the task last where the system serves several
  local file own files tasks=()
  readarray -t files < <(system_files "$1")
  for file in {../..,.}/conf/tasks/"$task.yaml"; do [ ! -f "$file" ] || tasks+=("$file"); done
  name=$1 config=() tuned_by=
  if [ -n "$task" ]; then # the same system for another task is another experiment
    if [[ $1 != *"_$task" ]] && { [ "${#tasks[@]}" -gt 0 ] || [[ ${files[*]} == *"_$task.yaml"* ]]; }; then
      name+=_$task
    fi
    # Some systems are for one task alone, or for several at once.
    if [[ ${files[*]} == *"_$task.yaml"* ]] || grep -q MultiAttribution "${files[@]}"; then tasks=(); fi
  fi
  [ "$seed_given" = true ] || seed_list=("$seed")
  for file in "${files[@]}" "${tasks[@]}"; do
    config+=(--config "$file")
    own=$(sed -n 's/^seed_everything: *\([0-9]*\).*/\1/p' "$file")
    [ "$seed_given" = true ] || [ -z "$own" ] || seed_list=("$own") # published figures belong to a seed
  done
}

each_system() { # each_system COMMAND ...: for all systems; a recipe says in own_system what differs for some of them
  local one
  for one in "${systems[@]}"; do
    use_system "${one%/*}"
    if declare -F own_system >/dev/null; then own_system "$one"; fi
    "$@"
  done
}

exp_of() { # exp_of SEED: the folder of an experiment with the system in use
  local stem=exp/$name${variant:+_$variant}
  if [ "$seeds" = default ]; then echo "${stem}_${tag:-s$1}"; else echo "$stem${tag:+_$tag}_s$1"; fi
}

each_experiment() { # each_experiment COMMAND ...: with $exp and $seed, for all systems and seeds but those that failed
  local count=0
  each_system _each_seed "$@"
  [ "$count" -gt 0 ] || exit 1
}

_each_seed() {
  local seed exp
  for seed in "${seed_list[@]}"; do
    exp=$(exp_of "$seed")
    if has_failed "$here$exp"; then continue; fi
    count=$((count + 1))
    "$@"
  done
}

extract_streams() { # extract_streams SET ...: for all systems
  local dirs=() extracted=
  require_data "$@"
  data_dirs "$@"
  each_system _extract
}

_extract() {
  [[ " $extracted " != *" $dump "* ]] || return 0
  [ "$dump" = dump ] || extracted+=" $dump"
  log "stage 3: extract cached streams of $name"
  $train_cmd --num-threads 1 --gpu "$ngpu" JOB=1:"$nj" "$dump/log/$name.JOB.log" \
    spooftrace extract "${config[@]}" "${allowed[@]}" --dump "$dump" --data "${dirs[@]}" ${precision:+--precision "$precision"} \
    --job JOB --num-jobs "$nj" --ngpu "$((ngpu > 0))"
  spooftrace extract "${config[@]}" "${allowed[@]}" --dump "$dump" --data "${dirs[@]}" --num-jobs "$nj" --collect
}

train_systems() { # train_systems TRAIN DEV: all systems and seeds as one array job
  require_data "$@"
  each_experiment _add_training "$@"
  launch_jobs
}

_add_training() {
  local step=train options=()
  log "stage 4: train $name in $exp"
  if [ -n "$tuned_by" ]; then # from the streams of another system of the same seed, which may be trained here as well
    step=tune options=(--trainer.start_from "$(name=$tuned_by exp_of "$seed")")
  fi
  [ "$num_nodes" -eq 1 ] || options+=(--num-nodes "$num_nodes")
  # shellcheck disable=SC2086  # train_args holds several words
  add_job "$step" "$exp/train.log" spooftrace train "${config[@]}" "${allowed[@]}" --dump "$dump" --train "data/$1" --dev "data/$2" \
    --exp "$exp" --ngpu "$ngpu" --seed_everything "$seed" "${options[@]}" $train_args
}

score_sets() { # score_sets SET ...: with all systems and seeds; with several GPUs, as many jobs for each experiment
  local dirs=()
  require_data "$@"
  data_dirs "$@"
  each_experiment _add_scoring
  launch_jobs
}

_add_scoring() {
  local jobs_each=$((ngpu > 1 ? ngpu : 1)) job
  # shellcheck disable=SC2206  # score_args holds several words
  local command=(spooftrace score --exp "$exp" --dump "$dump" --data "${dirs[@]}" --ngpu "$((ngpu > 0))" "${allowed[@]}" $score_args)
  log "stage 5: score with $exp"
  if [ "$jobs_each" -eq 1 ]; then
    add_job score "$exp/score.log" "${command[@]}"
    return
  fi
  for ((job = 1; job <= jobs_each; job++)); do
    add_job score "$exp/score.$job.log" "${command[@]}" --num-jobs "$jobs_each" --job "$job"
  done
  add_job join "$exp/score.log" "${command[@]}" --num-jobs "$jobs_each" --collect
}

evaluate_sets() { # evaluate_sets SET ...: metrics and tables, as the task and the corpus of the set ask for
  local options=()
  require_data "$@"
  case $task in
    vq | aux | dec | codec) options=(--task attribution --labels "utt2$task") ;;
    parse) options=(--task parsing --train-data "data/$train") ;;
  esac
  each_experiment _evaluate "$@"
}

_evaluate() {
  local set folder
  log "stage 6: evaluate $exp"
  for set; do # scores are kept by the last part of the name
    folder=$exp/${set##*/}
    if [ -f "$folder/scores_$task.txt" ]; then # of a system with several heads; its scores.txt is detection's
      spooftrace evaluate --data "data/$set" --scores "$folder/scores_$task.txt" "${options[@]}" \
        --out "$folder/metrics_$task.json" --tables "$folder"
      spooftrace evaluate --data "data/$set" --scores "$folder/scores.txt" --out "$folder/metrics.json"
    else
      spooftrace evaluate --data "data/$set" --scores "$folder/scores.txt" "${options[@]}" \
        --out "$folder/metrics.json" --tables "$folder"
    fi
  done
}

draw_balls() { # draw_balls SET: of HYDRA, with where the codecs of the set lie
  [[ $name != hydra* ]] || draw_balls.py "$exp" "data/$1" figures --dump "$dump"
}

report() { # report TITLE: our figures, and the published ones that the recipe knows of
  local published=()
  log "stage 7: report"
  [ ! -f conf/published.tsv ] || published=(--published conf/published.tsv)
  spooftrace report --exp exp --out RESULTS.md --figures figures --title "$1" "${published[@]}"
}
