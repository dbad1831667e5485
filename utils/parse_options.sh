# shellcheck shell=bash
# Command line options for bash scripts, Kaldi's way. To be sourced, after the variables that may be set:
#
#   #!/usr/bin/env bash
#   # Train one system.
#   # Usage: ./run.sh [--stage N] [--resume true|false] CORPUS
#   stage=0
#   resume=true
#   . utils/parse_options.sh
#   corpus=$1
#
# `--some-name VALUE` (or `--some_name VALUE`) sets the variable some_name, which the script must have set before.
# A variable that is true or false must stay so. `--config FILE` sources FILE before the other options are looked at, so
# they win over it. `--help` prints the script's own header comment. The first word that does not start with `--` ends
# the options; it and the words after it remain the script's "$@". What is wrong ends the script with exit status 1.

_opt_fail() {
  echo "${0##*/}: $1" >&2
  exit 1
}

_opt_is_variable() {
  [[ $1 =~ ^[A-Za-z_][A-Za-z0-9_]*$ && -n ${!1+set} ]]
}

for ((_opt_i = 1; _opt_i <= $#; _opt_i += 2)); do
  [[ ${!_opt_i} == --* ]] || break
  [[ ${!_opt_i} == --config ]] || continue
  ((_opt_i < $#)) || break
  _opt_j=$((_opt_i + 1))
  _opt_value=${!_opt_j}
  [[ -r $_opt_value && ! -d $_opt_value ]] || _opt_fail "--config: cannot read the file '$_opt_value'"
  [[ $_opt_value == */* ]] || _opt_value=./$_opt_value # a bare name would be looked up along PATH first
  # shellcheck source=/dev/null
  . "$_opt_value"
done

while (($#)); do
  case $1 in
    --help | -h)
      _opt_value=$0
      [[ -r $_opt_value ]] || _opt_value=./${0##*/} # the script went to its own directory before it came here
      while IFS= read -r _opt_line || [[ -n $_opt_line ]]; do
        [[ $_opt_line == '#!'* ]] && continue
        [[ $_opt_line == '#'* ]] || break
        _opt_line=${_opt_line#'#'}
        printf '%s\n' "${_opt_line# }"
      done <"$_opt_value"
      exit 0
      ;;
    --*=*) _opt_fail "write '${1%%=*} ${1#*=}', not '$1'" ;;
    --*) ;;
    *) break ;;
  esac

  _opt_name=${1#--}
  _opt_name=${_opt_name//-/_}
  [[ $_opt_name == config ]] || _opt_is_variable "$_opt_name" ||
    _opt_fail "unknown option $1; see ${0##*/} --help"
  (($# > 1)) || _opt_fail "option $1 needs a value"

  _opt_value=${2#--}
  _opt_value=${_opt_value//-/_}
  # In `--stage --nj 4` the value is missing: what names an option is not taken for a value.
  if [[ $2 == --* ]] && { [[ $_opt_value == help || $_opt_value == config ]] || _opt_is_variable "$_opt_value"; }; then
    _opt_fail "option $1 needs a value, found the option $2"
  fi

  if _opt_is_variable "$_opt_name"; then # --config needs no variable
    [[ ! ${!_opt_name} =~ ^(true|false)$ || $2 =~ ^(true|false)$ ]] ||
      _opt_fail "option $1 needs true or false, found '$2'"
    printf -v "$_opt_name" '%s' "$2"
  fi
  shift 2
done

unset -f _opt_fail _opt_is_variable
unset _opt_i _opt_j _opt_line _opt_name _opt_value
true # the status that `. parse_options.sh || exit 1` sees
