#!/usr/bin/env bash
# Copy a part of a data directory: utils/subset_data_dir.sh [--first|--last|--shortest|--per-spk|--speakers] SRC N DEST
set -euo pipefail
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
export PYTHONPATH="$root/lib${PYTHONPATH:+:$PYTHONPATH}"
exec python3 -m spooftrace.datadir subset "$@"
