#!/usr/bin/env bash
# Set up the environment and run the checks and tests, the fast ones first.
# Usage: tests/run.sh [pytest arguments]      e.g. tests/run.sh -k archive
set -euo pipefail

case ${1:-} in --help) sed -n '2,3s/^# //p' "$0"; exit 0 ;; esac
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."
tools/setup.sh
export PATH="$PWD/tools/venv/bin:$PATH"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} TOKENIZERS_PARALLELISM=false

if [ $# -gt 0 ]; then exec python -m pytest "$@"; fi

ruff check .
ruff format --check .
# Tests on real Whisper weights skip, and say so, where the weights cannot be had.
tools/get_model.sh whisper-base || echo "tests/run.sh: no Whisper weights; the tests that need them will be skipped" >&2
tools/slurm_lab.sh install || echo "tests/run.sh: no SLURM; the tests that need it will be skipped" >&2
# A file of tests to a core; those that wait for queues and time limits by themselves.
python -m pytest -m "not slow" -n auto --dist loadfile --doctest-modules lib tests
python -m pytest -m slow -n auto --dist loadfile tests --ignore tests/cluster
python -m pytest -m slow tests/cluster
