#!/usr/bin/env bash
# Install torchaudio into tools/venv, for the front-end TorchAudio. Does nothing when it is there. Usage: tools/install_torchaudio.sh
# 2.11 is torchaudio's last line: it works with every later torch, see tools/torchaudio_extension.sh for torch without CUDA.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/provider.sh" torchaudio torchaudio.pipelines torchaudio==2.11.0
