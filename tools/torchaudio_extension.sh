#!/usr/bin/env bash
# Make torchaudio importable in a Python environment. Usage: tools/torchaudio_extension.sh VENV
#
# PyPI's torchaudio has a compiled extension that is linked with CUDA. Beside a torch without CUDA `import torchaudio`
# fails because of it, and with it every audio model of transformers. Without the extension torchaudio works: only forced
# alignment, the RNN-T loss and CTC decoding are then missing. So its files are renamed to *.so.aside in such an
# environment, and get their names back once torch has CUDA. Looks at files only; silent where there is nothing to do.
set -euo pipefail
shopt -s nullglob

for library in "${1:?usage: tools/torchaudio_extension.sh VENV}"/lib/python*/site-packages/torchaudio/lib; do
  torch=${library%/torchaudio/lib}/torch/lib
  [ -d "$torch" ] || continue
  if [ ! -e "${library%/lib}/__init__.py" ]; then # uninstalled: pip leaves what it does not know by name
    rm -f "$library"/*.so.aside
    rmdir "$library" "${library%/lib}" 2>/dev/null || true
  elif [ -e "$torch/libtorch_cuda.so" ]; then
    for file in "$library"/*.so.aside; do
      mv "$file" "${file%.aside}"
      echo "torchaudio: $(basename "${file%.aside}") is back, torch has CUDA" >&2
    done
  elif grep -qs "libtorch_cuda\|libcudart" "$library"/*.so; then
    for file in "$library"/*.so; do mv "$file" "$file.aside"; done
    echo "torchaudio: set its CUDA extension aside (*.so.aside in $library), torch has no CUDA" >&2
  fi
done
