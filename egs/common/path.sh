# Installs what is missing and puts spooftrace and utils/ on the PATH. The path.sh of each recipe sources this file.
SPOOFTRACE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export SPOOFTRACE_ROOT
"$SPOOFTRACE_ROOT/tools/setup.sh" || exit 1
export PATH="$SPOOFTRACE_ROOT/tools/venv/bin:$SPOOFTRACE_ROOT/utils:$PATH"
export LC_ALL=C PYTHONUTF8=1 # byte order in every sort, UTF-8 in every file
export TOKENIZERS_PARALLELISM=false
