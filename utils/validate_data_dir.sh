#!/usr/bin/env bash
# Check a data directory: utils/validate_data_dir.sh [--check-audio] [--allow-pipes] DIR
set -euo pipefail
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
export PYTHONPATH="$root/lib${PYTHONPATH:+:$PYTHONPATH}"
exec python3 -m spooftrace.cli.datadir validate "$@"
