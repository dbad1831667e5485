# shellcheck shell=bash
# Every system on the pooled vector of every pretrained model, for the recipes with codec parsing. Sourced by their run.sh
# with the variable `ptm` set before: models of conf/vectors, separated by commas, or all.

grid=() # SYSTEM or SYSTEM/MODEL
readarray -t _models < <(find ../../conf/vectors -name '*.yaml' | sed 's|.*/||; s|\.yaml$||' | sort)
_wanted=("${_models[@]}")
[ "$ptm" = all ] || IFS=, read -ra _wanted <<<"$ptm"
[ "${#_wanted[@]}" -gt 0 ] || _refuse "option --ptm names no model"
for _name in "${_wanted[@]}"; do
  [ -f "../../conf/vectors/$_name.yaml" ] || _refuse "no model '$_name' in conf/vectors: ${_models[*]}"
done
for _name in "${systems[@]}"; do
  if system_files "$_name" | tr '\n' '\0' | xargs -0 grep -q '^ *vector:'; then # others have streams of their own
    grid+=("${_wanted[@]/#/$_name/}")
  else
    grid+=("$_name")
  fi
done

use_cell() { # use_cell SYSTEM[/MODEL]
  use_system "${1%/*}"
  variant= dump=dump
  if [[ $1 == */* ]]; then
    variant=${1#*/} dump=dump/${1#*/} # the stream of every model is called `vector`
    config+=(--config "../../conf/vectors/$variant.yaml")
  fi
}

run_grid() { # run_grid TRAIN DEV TEST ...: stages 3 to 6 and figures, trainings and scorings as one array job each
  local cell one
  train=$1 # what evaluate_sets takes for the closed set
  for cell in "${grid[@]}"; do
    use_cell "$cell"
    if runs 3 && [[ " $_done " != *" $dump "* ]]; then extract_streams "$@"; fi
    [ "$dump" = dump ] || _done+=" $dump"
  done
  if runs 4; then
    for cell in "${grid[@]}"; do use_cell "$cell"; add_training "$1" "$2"; done
    run_jobs train --gpu "$ngpu"
  fi
  if runs 5; then
    for cell in "${grid[@]}"; do use_cell "$cell"; add_scoring "${@:3}"; done
    run_scoring
  fi
  if runs 6; then
    for cell in "${grid[@]}"; do use_cell "$cell"; evaluate_sets "${@:3}"; done
  fi
  if runs 7; then
    for cell in "${grid[@]}"; do
      use_cell "$cell"
      [[ $name == hydra* ]] || continue
      for one in "${seed_list[@]}"; do draw_balls.py "$(exp_of "$one")" "data/$3" figures --dump "$dump"; done
    done
  fi
}
_done=
