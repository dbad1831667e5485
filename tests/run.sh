#!/usr/bin/env bash
# Set up the environment and run the checks and tests, the fast ones first. All parts run, also after one has failed; the
# failures of all are listed at the end, and the exit status is 1 if there are any.
# Usage: tests/run.sh                    everything
#        tests/run.sh fast               without the slow tests and those of clusters
#        tests/run.sh ROOM ...           the fast tests of rooms (folders of tests/), e.g. tests/run.sh archive datadir
#        tests/run.sh PYTEST ARGUMENTS   e.g. tests/run.sh -k mp3
set -euo pipefail

case ${1:-} in --help) sed -n '2,7s/^# //p' "$0"; exit 0 ;; esac
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."
tools/setup.sh
export PATH="$PWD/tools/venv/bin:$PATH"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} TOKENIZERS_PARALLELISM=false

extent=all words=() room=false
for word; do
  if [ "$word" = fast ] && [ $# -eq 1 ]; then
    extent=fast
  elif [[ $word != */* && -d tests/$word ]]; then
    room=true
    words+=("tests/$word")
    [ ! -d "lib/spooftrace/$word" ] || words+=("lib/spooftrace/$word")
  else
    words+=("$word")
  fi
done
if $room; then exec python -m pytest -m "not slow" --doctest-modules "${words[@]}"; fi
if [ ${#words[@]} -gt 0 ]; then exec python -m pytest "${words[@]}"; fi

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
trap 'exit 130' INT # pytest handles Ctrl-C itself, and the next part would start
parts=() failed=()

part() { # part NAME COMMAND ...: run it, whatever happened before; pytest's exit status is 5 where it finds no test
  local name=$1 status=0
  shift
  parts+=("$name")
  echo "tests/run.sh: $name" >&2
  "$@" 2>&1 | tee "$logs/$name" || status=$?
  [ "$status" -eq 0 ] || failed+=("$name (exit status $status)")
}

part "ruff check" ruff check .
part "ruff format" ruff format --check .
part "order of the rooms" lint-imports --no-cache
# Tests on real Whisper weights skip, and say so, where the weights cannot be had.
tools/get_model.sh whisper-base || echo "tests/run.sh: no Whisper weights; the tests that need them will be skipped" >&2
tools/slurm_lab.sh install || echo "tests/run.sh: no SLURM; the tests that need it will be skipped" >&2
# A file of tests to a core; those that wait for queues and time limits by themselves.
part "fast tests" python -m pytest -m "not slow" -n auto --dist loadfile --doctest-modules lib tests
if [ "$extent" = all ]; then
  part "slow tests" python -m pytest -m slow -n auto --dist loadfile tests --ignore tests/cluster
  part "cluster tests" python -m pytest -m slow tests/cluster
fi

echo "tests/run.sh: summary"
for name in "${parts[@]}"; do
  grep -E '^(FAILED|ERROR) ' "$logs/$name" || true
  echo "$name: $(tail -n 1 "$logs/$name")"
done
if [ ${#failed[@]} -gt 0 ]; then
  printf 'tests/run.sh: failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
