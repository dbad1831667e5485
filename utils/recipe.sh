# shellcheck shell=bash
# Options of all recipes:
#   --stage N             first stage to run (default: 0)
#   --stop_stage N        last stage to run (default: 7)
#   --system NAMES        systems of conf/systems or of the recipe's own conf, separated by commas
#   --seed N              random seed (default: the system's, seed_everything in its configuration)
#   --seeds "N N ..."     several seeds: stages 4 and 5 run as jobs, one for each, as many at a time as there is room for
#   --tag TEXT            name of the experiment: exp/<system>_<tag>, with --seeds exp/<system>_<tag>_s<seed>
#   --nj N                parallel jobs of stages 1 to 3 (default: one a core)
#   --ngpu N              GPUs of stages 3 to 5 (default: 0, the CPU)
#   --precision P         fp32, bf16 or fp16 for what stage 3 computes (default: fp32)
#   --train_args TEXT     overrides of the configuration, e.g. "--trainer.max_epochs 5 --optimizer.init_args.lr 1e-4"
#   --score_args TEXT     options of spooftrace score, e.g. "--data.eval_crop full"
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
precision=fp32
train_args=
score_args=
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
for _name in stage stop_stage seed nj ngpu; do
  [[ ${!_name} =~ ^[0-9]+$ ]] || _refuse "option --$_name needs a whole number, found '${!_name}'"
done
[ "$nj" -gt 0 ] || _refuse "option --nj needs at least 1"
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
for _name in "${systems[@]}"; do # a misspelt name should not cost three stages
  [ -z "$(system_files "$_name")" ] || continue
  _refuse "no system '$_name' in conf/systems or the recipe's conf: $(
    find ../../conf/systems conf -maxdepth 1 -name '*.yaml' 2>/dev/null | sed 's|.*/||; s|\.yaml$||' | sort -u | paste -sd ' ')"
done
if declare -F own_options >/dev/null; then own_options; fi
. ./path.sh
. ./cmd.sh
. ./db.sh

log() { echo "$(date +%T) $*" >&2; }
runs() { [ "$stage" -le "$1" ] && [ "$stop_stage" -ge "$1" ]; }
data_dirs() { local set; for set; do dirs+=("data/$set"); done; }

pretrained_models() { # those that the systems need and that can be had without a model hub
  local name
  for name in "${systems[@]}"; do
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

exp_of() { # exp_of SEED: the folder of an experiment with the system in use
  local stem=exp/$name${variant:+_$variant}
  if [ "$seeds" = default ]; then echo "${stem}_${tag:-s$1}"; else echo "$stem${tag:+_$tag}_s$1"; fi
}

add_job() { # add_job LOG COMMAND ...: one more for the next run_jobs
  local words
  printf -v words '%q ' "${@:2}"
  job_logs+=("$1") job_commands+=("$words")
}
job_logs=() job_commands=()

run_jobs() { # run_jobs STEP [OPTION ...]: the jobs added, as one array job; those that fail do not stop the others
  local step=$1 options=("${@:2}") logs=("${job_logs[@]}") commands=("${job_commands[@]}")
  local count=${#job_logs[@]} left=() others= folder i
  job_logs=() job_commands=()
  if [ "$count" -eq 1 ]; then
    eval "set -- ${commands[0]}"
    $cuda_cmd "${options[@]}" "${logs[0]}" "$@"
    return
  fi
  if [ "$cmd_backend" = local ] && [ "$ngpu" -eq 0 ]; then # run.py deals GPUs out, but does not know what a CPU job takes
    options+=(--num-threads "$((nj > count ? nj / count : 1))" --max-jobs-run "$nj")
  fi
  # A launcher numbers its tasks, so each is a script with a number; its log is a link to where it belongs.
  folder=exp/log/${logs[0]#exp/}
  folder=${folder%/*}
  mkdir -p "$folder" # two runs with different seeds have different folders
  for i in "${!logs[@]}"; do
    mkdir -p "${logs[i]%/*}"
    ln -sf "../../${logs[i]#exp/}" "$folder/$step.$((i + 1)).log"
    # What has succeeded takes its script away.
    printf 'echo %q\n%s&& rm -- "$0"\n' "# ${commands[i]}" "${commands[i]}" >"$folder/$step.$((i + 1)).sh"
  done
  $cuda_cmd "${options[@]}" JOB=1:"$count" "$folder/$step.JOB.log" bash "$folder/$step.JOB.sh" && return
  for i in "${!logs[@]}"; do
    [ ! -f "$folder/$step.$((i + 1)).sh" ] || left+=("${logs[i]}")
  done
  [ "${#left[@]}" -eq "$count" ] || others=", the others are done"
  echo "run.sh: $step: ${#left[@]} of $count jobs failed$others; see ${left[*]}" >&2
  exit 1
}

extract_streams() { # extract_streams SET ...
  local dirs=()
  data_dirs "$@"
  log "stage 3: extract cached streams of $name"
  $train_cmd --num-threads 1 --gpu "$ngpu" JOB=1:"$nj" "$dump/log/$name.JOB.log" \
    spooftrace extract "${config[@]}" --dump "$dump" --data "${dirs[@]}" --precision "$precision" \
    --job JOB --num-jobs "$nj" --ngpu "$((ngpu > 0))"
  spooftrace extract "${config[@]}" --dump "$dump" --data "${dirs[@]}" --num-jobs "$nj" --collect
}

train_system() { # train_system TRAIN DEV
  add_training "$@"
  run_jobs train --gpu "$ngpu"
}

add_training() { # add_training TRAIN DEV: from the streams of $tuned_by, another system of the same seed, if it is set
  local seed exp from
  for seed in "${seed_list[@]}"; do
    exp=$(exp_of "$seed")
    log "stage 4: train $name in $exp"
    from=()
    [ -z "$tuned_by" ] || from=(--trainer.start_from "$(name=$tuned_by exp_of "$seed")")
    # shellcheck disable=SC2086  # train_args holds several words
    add_job "$exp/train.log" spooftrace train "${config[@]}" --dump "$dump" --train "data/$1" --dev "data/$2" \
      --exp "$exp" --ngpu "$ngpu" --seed_everything "$seed" "${from[@]}" $train_args
  done
}

score_sets() { # score_sets SET ...: with several GPUs, as many jobs for each experiment
  add_scoring "$@"
  run_scoring
}

collect=() # what joins the parts of the scoring jobs added

add_scoring() { # add_scoring SET ...
  local dirs=() jobs=$((ngpu > 1 ? ngpu : 1)) seed exp job
  data_dirs "$@"
  for seed in "${seed_list[@]}"; do
    exp=$(exp_of "$seed")
    log "stage 5: score with $exp"
    # shellcheck disable=SC2206  # score_args holds several words
    local command=(spooftrace score --exp "$exp" --dump "$dump" --data "${dirs[@]}" --ngpu "$((ngpu > 0))" $score_args)
    if [ "$jobs" -eq 1 ]; then
      add_job "$exp/score.log" "${command[@]}"
      continue
    fi
    for ((job = 1; job <= jobs; job++)); do
      add_job "$exp/score.$job.log" "${command[@]}" --num-jobs "$jobs" --job "$job"
    done
    collect+=("$(printf '%q ' "${command[@]}" --num-jobs "$jobs" --collect)")
  done
}

run_scoring() {
  local command
  run_jobs score --gpu "$((ngpu > 0))"
  for command in "${collect[@]}"; do eval "$command"; done
  collect=()
}

evaluate_sets() { # evaluate_sets SET ...: metrics and tables, as the task and the corpus of the set ask for
  local set seed exp folder options=()
  case $task in
    vq | aux | dec | codec) options=(--task attribution --labels "utt2$task") ;;
    parse) options=(--task parsing --train-data "data/$train") ;;
  esac
  for seed in "${seed_list[@]}"; do
    exp=$(exp_of "$seed")
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
  done
}

report() { # report TITLE: our figures, and the published ones that the recipe knows of
  local published=()
  log "stage 7: report"
  [ ! -f conf/published.tsv ] || published=(--published conf/published.tsv)
  spooftrace report --exp exp --out RESULTS.md --figures figures --title "$1" "${published[@]}"
}
