#!/usr/bin/env bash
# Make tools/venv, a Python environment with spooftrace and everything it needs, in the versions of tools/constraints.txt.
# Does nothing when that is already done. Usage: tools/setup.sh [--help]
# Environment: SPOOFTRACE_PYTHON  the Python (3.10 or newer) to use; default: python3.
set -euo pipefail

root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/tools/venv
case ${1:-} in
  "") ;;
  --help) sed -n '2,4s/^# //p' "$0"; exit 0 ;;
  *) echo "tools/setup.sh: unknown option '$1' (try --help)" >&2; exit 1 ;;
esac

# What the environment depends on. The folder belongs to it: a venv does not survive being moved.
wanted=$(cat "$root/setup.py" "$root/tools/constraints.txt"; echo "$venv ${SPOOFTRACE_PYTHON:-}")
stamp=$venv/.spooftrace-setup
make_importable() {
  local link
  # pip writes the absolute path of lib/ there, which Python reads in the encoding of the locale: with LC_ALL=C a path
  # that is not ASCII would stop it. The path relative to site-packages is always the same.
  for link in "$venv"/lib/python3.*/site-packages/__editable__.spooftrace-*.pth; do
    if [ -f "$link" ] && [ "$(cat "$link")" != ../../../../../lib ]; then
      echo ../../../../../lib >"$link.new"
      mv "$link.new" "$link" # in one step: a job may be starting
    fi
  done
  # An optional torchaudio, perhaps installed by hand since, must not break the rest.
  "$root/tools/torchaudio_extension.sh" "$venv"
}
up_to_date() { [ -x "$venv/bin/spooftrace" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; }
if up_to_date; then make_importable; exit 0; fi

python=${SPOOFTRACE_PYTHON:-python3}
if ! command -v "$python" >/dev/null; then
  echo "tools/setup.sh: '$python' not found: install Python 3.10 or newer, or set SPOOFTRACE_PYTHON" >&2; exit 1
fi
# Its output may hold more than the version. A shim of pyenv or asdf is there even where no Python is behind it.
if ! version=$("$python" -c 'import sys; print("version %d.%d.%d" % sys.version_info[:3])' 2>&1) ||
  ! version=$(grep -m 1 '^version ' <<<"$version"); then
  echo "tools/setup.sh: '$python' ($(command -v "$python")) does not run${version:+: $(head -n 1 <<<"$version")}" >&2
  echo "tools/setup.sh: set SPOOFTRACE_PYTHON to Python 3.10 or newer" >&2; exit 1
fi
version=${version#version }
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
  echo "tools/setup.sh: Python $version ($python) is too old: set SPOOFTRACE_PYTHON to Python 3.10 or newer" >&2; exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  echo "tools/setup.sh: $python cannot make virtual environments: install the system package python3-venv" >&2; exit 1
fi

mkdir -p "$root/tools"
exec 9>"$root/tools/.setup.lock"
if command -v flock >/dev/null && ! flock -n 9; then
  echo "tools/setup.sh: waiting for another setup of this checkout" >&2
  flock 9
fi
if up_to_date; then make_importable; exit 0; fi

echo "tools/setup.sh: installing into tools/venv (a few minutes the first time)" >&2
# A venv made elsewhere has the wrong paths inside: start anew rather than repair it.
made_in=$venv/.spooftrace-folder
if [ -e "$venv" ] && [ "$(cat "$made_in" 2>/dev/null)" != "$venv" ] && ! grep -qsF "$venv" "$venv/bin/activate"; then
  rm -rf "$venv"
fi
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
printf '%s' "$venv" >"$made_in" # the venv's own scripts hold it too, but quoted
rm -f "$stamp"

pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }
progress=(--progress-bar on)
[ -t 2 ] || progress=(--progress-bar off)
started=$SECONDS
cd "$root" # pip takes some characters of a path for its own syntax
if ! pip install --quiet "${progress[@]}" -c tools/constraints.txt -e ".[dev]" >&2; then
  echo "tools/setup.sh: installation failed (see above); run it again, what is installed already is kept" >&2; exit 1
fi
make_importable
"$venv/bin/spooftrace" --version >/dev/null
printf '%s' "$wanted" >"$stamp"
echo "tools/setup.sh: done in $((SECONDS - started)) s" >&2
