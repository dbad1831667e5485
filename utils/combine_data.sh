#!/usr/bin/env bash
# Join data directories: utils/combine_data.sh DEST SRC...
set -euo pipefail
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
export PYTHONPATH="$root/lib${PYTHONPATH:+:$PYTHONPATH}"
exec python3 -m spooftrace.cli.datadir combine "$@"
