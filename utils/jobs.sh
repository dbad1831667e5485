# shellcheck shell=bash
# shellcheck disable=SC2086,SC2154  # options and launchers come from recipe.sh and cmd.sh, launchers with options of theirs
# Trainings and scorings of a recipe as jobs, one or more for each experiment: they are added to the list of a step, and
# the list is launched as one array job. Sourced by recipe.sh.
#
# A line of the list $jobs/STEP is a job: LOG, a tab, COMMAND. The logs of those that failed are listed in $jobs/failed;
# later steps leave their experiments out.

# utils/sweep.sh gives several recipes one such folder, and tells each what to do: check (the command line, and end), add
# (jobs to the lists), launch (the jobs of all recipes, and end), or alone (run stages as always).
sweep=${SPOOFTRACE_SWEEP:-}
jobs=${SPOOFTRACE_JOBS:-}
here= # this recipe, seen from the one that launches
if [ -n "$sweep" ]; then
  here=../${PWD##*/}/
else
  jobs=$(mktemp -d)
  trap _name_failed EXIT
fi
touch "$jobs/failed"

_name_failed() { # in the end, for a job that fails does not stop the others
  local status=$? failed
  failed=$(paste -sd ' ' "$jobs/failed")
  rm -r -- "$jobs"
  [ -n "$failed" ] || return 0
  echo "run.sh: failed: $failed (the same command again does what is missing)" >&2
  exit "$((status > 0 ? status : 1))"
}

has_failed() { # has_failed EXP, as seen by the recipe that launches
  [ -s "$jobs/failed" ] && sed 's|/[^/]*$||' "$jobs/failed" | grep -xF -- "$1" >/dev/null
}

add_job() { # add_job STEP LOG COMMAND ...
  local words
  printf -v words '%q ' "${@:3}"
  mkdir -p "${2%/*}" # spooftrace status knows an experiment by its folder
  printf '%s\t%s\n' "$here$2" "$words" >>"$jobs/$1"
}

launch_jobs() { # all that were added, step by step
  local training=(--gpu "$ngpu")
  [ "$sweep" != add ] || return 0
  [ "$num_nodes" -eq 1 ] || training+=(--num-nodes "$num_nodes")
  launch_step train $cuda_cmd "${training[@]}"
  launch_step tune $cuda_cmd "${training[@]}"
  launch_step score $cuda_cmd --gpu "$((ngpu > 0))"
  launch_step join $train_cmd --num-threads 1
}

launch_step() { # launch_step STEP LAUNCHER [OPTION ...]: one array of those whose experiments have not failed before
  local list=$jobs/$1 step=$1 launcher=("${@:2}") logs=() commands=() status=0 log command folder i
  [ -f "$list" ] || return 0
  while IFS=$'\t' read -r log command; do
    has_failed "${log%/*}" || { logs+=("$log"); commands+=("$command"); }
  done <"$list"
  rm -- "$list"
  [ "${#logs[@]}" -gt 0 ] || return 0
  if [ "${#logs[@]}" -eq 1 ] && [ -z "$sweep" ]; then
    eval "set -- ${commands[0]}"
    "${launcher[@]}" "${logs[0]}" "$@" || status=$?
    [ "$status" -ne 1 ] || echo "${logs[0]}" >>"$jobs/failed"
  else
    if [ "$cmd_backend" = local ] && [ "$ngpu" -eq 0 ]; then # run.py deals GPUs out, but does not know what a CPU job takes
      launcher+=(--num-threads "$((nj > ${#logs[@]} ? nj / ${#logs[@]} : 1))" --max-jobs-run "$nj")
    fi
    number_jobs
    "${launcher[@]}" JOB=1:"${#logs[@]}" "$folder/$step.JOB.log" bash "$folder/$step.JOB.sh" || status=$?
    [ "$status" -ne 1 ] || for i in "${!logs[@]}"; do # the record of a task is the launcher's
      [ "$(cat "$folder/.$step.$((i + 1)).log.status" 2>/dev/null)" = 0 ] || echo "${logs[i]}" >>"$jobs/failed"
    done
  fi
  [ "$status" -le 1 ] || exit "$status" # stopped, or the launcher took none: nothing is known of the jobs
}

# A launcher numbers its tasks, so each is a script with a number; its log is a link to where it belongs. Runs of other
# experiments, perhaps at the same time, have another folder.
number_jobs() {
  local first=${logs[0]%/*} recipe=. number
  folder=exp/log/${first##*/}.$(printf '%s\n' "${logs[@]%/*}" | uniq | cksum | cut -d' ' -f1)
  mkdir -p "$folder"
  for i in "${!logs[@]}"; do
    number=$step.$((i + 1))
    if [ -n "$sweep" ]; then
      recipe=${logs[i]#../} recipe=../${recipe%%/*}
      [ "$recipe/" = "$here" ] || { # so that it finds the logs of its experiments
        mkdir -p "$recipe/exp/log"
        ln -sfn "../../../${PWD##*/}/$folder" "$recipe/exp/log/${folder##*/}"
      }
    fi
    # exec, for bash would die of a signal on which the command saves its work.
    printf 'cd -- %q && echo %q && exec %s\n' "$recipe" "# ${commands[i]}" "${commands[i]}" >"$folder/$number.sh"
    ln -sf "../../../${logs[i]}" "$folder/$number.log"
    rm -f -- "$folder/.$number.log.status"
  done
}
