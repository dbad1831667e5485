#!/usr/bin/env bash
# Sort the files of a data directory and drop utterances that some file lacks: utils/fix_data_dir.sh DIR
set -euo pipefail
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
export PYTHONPATH="$root/lib${PYTHONPATH:+:$PYTHONPATH}"
exec python3 -m spooftrace.cli.datadir fix "$@"
