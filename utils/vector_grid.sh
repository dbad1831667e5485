# shellcheck shell=bash
# Every system on the pooled vector of every pretrained model, for the recipes with codec parsing. Sourced by their run.sh
# with the variable `ptm` set before: models of conf/vectors, separated by commas, or all.

_cells=() # SYSTEM or SYSTEM/MODEL
readarray -t _models < <(find ../../conf/vectors -name '*.yaml' | sed 's|.*/||; s|\.yaml$||' | sort)
_wanted=("${_models[@]}")
[ "$ptm" = all ] || IFS=, read -ra _wanted <<<"$ptm"
[ "${#_wanted[@]}" -gt 0 ] || _refuse "option --ptm names no model"
for _name in "${_wanted[@]}"; do
  [ -f "../../conf/vectors/$_name.yaml" ] || _refuse "no model '$_name' in conf/vectors: ${_models[*]}"
done
for _name in "${systems[@]}"; do
  if system_files "$_name" | tr '\n' '\0' | xargs -0 grep -q '^ *vector:'; then # others have streams of their own
    _cells+=("${_wanted[@]/#/$_name/}")
  else
    _cells+=("$_name")
  fi
done
systems=("${_cells[@]}")

own_system() { # own_system SYSTEM[/MODEL]
  variant= dump=dump
  if [[ $1 == */* ]]; then
    variant=${1#*/} dump=dump/${1#*/} # the stream of every model is called `vector`
    config+=(--config "../../conf/vectors/$variant.yaml")
  fi
}
