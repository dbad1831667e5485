#!/usr/bin/env bash
# Split a data directory for an array job: utils/split_data.sh [--per-utt] DIR N
set -euo pipefail
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
export PYTHONPATH="$root/lib${PYTHONPATH:+:$PYTHONPATH}"
exec python3 -m spooftrace.cli.datadir split "$@"
