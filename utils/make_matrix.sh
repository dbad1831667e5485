#!/usr/bin/env bash
# One table across corpora: trained systems on the prepared test sets of all recipes.
#
# Usage: utils/make_matrix.sh [options] EXP ...
#   e.g. utils/make_matrix.sh egs/asvspoof2019/exp/aasist_s1234 egs/asvspoof5/exp/aasist_s1234
#   --sets "DIR ..."   data directories (default: all of egs/*/data/* with both classes, but those called train* or dev*)
#   --out DIR          where matrix.md and matrix.csv go (default: matrix)
#   --nj N             parallel jobs of the extraction (default: one a core)
#   --ngpu N           1: extract and score on a GPU (default: 0, the CPU)
# Scores and metrics stay in EXP/matrix/<recipe>/<set>/; what is there already is not made again.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
sets=
out=matrix
nj=$(getconf _NPROCESSORS_ONLN)
ngpu=0
. "$root/utils/parse_options.sh"
for _name in nj ngpu; do
  [[ ${!_name} =~ ^[0-9]+$ ]] || { echo "make_matrix.sh: option --$_name needs a whole number, found '${!_name}'" >&2; exit 1; }
done
[ "$nj" -gt 0 ] || { echo "make_matrix.sh: option --nj needs at least 1" >&2; exit 1; }
[ $# -gt 0 ] || { echo "make_matrix.sh: no experiment given (try --help)" >&2; exit 1; }
. "$root/egs/common/path.sh"
. "$root/egs/common/cmd.sh"

experiments=()
for exp; do
  [ -f "$exp/model.safetensors" ] || { echo "make_matrix.sh: $exp: no model.safetensors, so no trained system" >&2; exit 1; }
  experiments+=("$(cd -- "$exp" && pwd)")
done

dirs=()
if [ -n "$sets" ]; then
  IFS=' ' read -ra dirs <<<"$sets"
else
  for dir in "$root"/egs/*/data/*/ "$root"/egs/*/data/*/*/; do
    case $(basename -- "$dir") in train* | dev* | log) continue ;; esac
    [ -f "$dir/utt2spk" ] && dirs+=("${dir%/}")
  done
fi
columns=()
for dir in "${dirs[@]}"; do
  case $dir in */data/?*) ;; *) echo "make_matrix.sh: $dir: not RECIPE/data/SET" >&2; exit 1 ;; esac
  [ -f "$dir/utt2label" ] || { echo "make_matrix.sh: $dir: no utt2label; prepare it first" >&2; exit 1; }
  if [ "$(cut -d' ' -f2 <"$dir/utt2label" | sort -u | wc -l)" = 2 ]; then
    columns+=("$(cd -- "$dir" && pwd)")
  else
    echo "make_matrix.sh: $dir: left out, it has only one class" >&2
  fi
done
[ ${#columns[@]} -gt 0 ] || { echo "make_matrix.sh: no prepared test set with both classes; run stage 1 of a recipe" >&2; exit 1; }

results=()
for exp in "${experiments[@]}"; do
  for dir in "${columns[@]}"; do
    set=$(basename -- "$dir")
    recipe=${dir%/data/*}
    data=${dir#"$recipe"/}
    scores=$exp/matrix/$(basename -- "$recipe")
    cd -- "$recipe" # paths in wav.scp are relative to it
    $train_cmd --num-threads 1 --gpu "$ngpu" JOB=1:"$nj" "$scores/$set/extract.JOB.log" \
      spooftrace extract --config "$exp/config.yaml" --data "$data" --job JOB --num-jobs "$nj" --ngpu "$ngpu"
    spooftrace extract --config "$exp/config.yaml" --data "$data" --num-jobs "$nj" --collect
    $cuda_cmd --gpu "$ngpu" "$scores/$set/score.log" \
      spooftrace score --exp "$exp" --data "$data" --out "$scores" --ngpu "$ngpu"
    spooftrace evaluate --data "$data" --scores "$scores/$set/scores.txt" --out "$scores/$set/metrics.json" >/dev/null
    results+=("$scores/$set/metrics.json")
    cd -- "$OLDPWD"
  done
done
spooftrace matrix --out "$out" "${results[@]}"
