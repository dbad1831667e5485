#!/usr/bin/env bash
# Copy a part of a data directory: utils/subset_data_dir.sh [--first|--where TABLE=VALUE|--disjoint TABLE SHARE ...] SRC [N] DEST; see --help
set -euo pipefail
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
export PYTHONPATH="$root/lib${PYTHONPATH:+:$PYTHONPATH}"
exec python3 -m spooftrace.cli.datadir subset "$@"
