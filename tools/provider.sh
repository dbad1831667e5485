#!/usr/bin/env bash
# Install an optional package into tools/venv: what the tools/install_*.sh have in common. Not meant to be called by hand.
# Usage: tools/provider.sh NAME MODULE [pip option...] DISTRIBUTION==VERSION
#
# Versions of what it brings along are those of tools/constraints-providers.txt, and what tools/setup.sh installed stays
# as it is. Afterwards MODULE has to be importable, and transformers' audio models too (a broken torchaudio breaks them).
set -euo pipefail

name=$1 module=$2
shift 2
requirement=${!#}
tools=$(cd -P "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=$tools/venv
log=$venv/install_$name.log
fail() { echo "tools/install_$name.sh: $*" >&2; exit 1; }

"$tools/setup.sh" || fail "tools/setup.sh did not finish (see above)"
exec 9>"$tools/.setup.lock"
if command -v flock >/dev/null && ! flock -n 9; then
  echo "tools/install_$name.sh: waiting for another installation in this checkout" >&2
  flock 9
fi

installed() {
  "$venv/bin/python" - "$requirement" <<'PYTHON'
import sys
from importlib.metadata import PackageNotFoundError, version
distribution, wanted = sys.argv[1].split("==")
try:
    sys.exit(version(distribution) != wanted)
except PackageNotFoundError:
    sys.exit(1)
PYTHON
}

if installed; then
  did="is there already"
else
  "$venv/bin/python" -m pip --disable-pip-version-check install --progress-bar off \
      -c "$tools/constraints.txt" -c "$tools/constraints-providers.txt" "$@" > "$log" 2>&1 ||
    fail "cannot install $requirement ($(grep '^ERROR' "$log" | tail -n 1 | cut -c 1-200)); details in $log"
  did="installed"
fi
"$tools/torchaudio_extension.sh" "$venv"

check() { "$venv/bin/python" -c "$1" > "$log" 2>&1 || fail "$2 ($(tail -n 1 "$log" | cut -c 1-200)); details in $log"; }
check "import $module" "$requirement is installed, but 'import $module' fails"
check "from transformers import EncodecModel, Wav2Vec2Model, WhisperModel" \
    "with $requirement transformers' audio models fail: remove it with '$venv/bin/python -m pip uninstall ${requirement%==*}'"
rm -f "$log"
echo "tools/install_$name.sh: ${requirement/==/ } $did, 'import $module' and transformers work" >&2
