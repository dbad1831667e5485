#!/usr/bin/env bash
# Install fairseq into tools/venv, for the front-end Fairseq. Does nothing when it is there. Usage: tools/install_fairseq.sh
# fairseq-fixed is fairseq 0.12 for Python 3.11 and newer; fairseq itself cannot be imported there. READTHEDOCS makes its
# setup.py leave out the compiled parts (translation scores, batching of text), so that no compiler is needed; without
# build isolation it uses the torch of tools/venv instead of downloading another one for the build.
set -euo pipefail
export READTHEDOCS=1
exec "$(dirname "${BASH_SOURCE[0]}")/provider.sh" fairseq fairseq.models.wav2vec --no-build-isolation fairseq-fixed==0.12.3.1
