#!/usr/bin/env bash
# Install Meta's encodec into tools/venv, for the front-end EncodecPackage. Does nothing when it is there. Usage:
# tools/install_encodec.sh. Its licence as declared on PyPI is CC BY-NC 4.0; the front-end EnCodec (transformers) gives
# the same codes without it.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/provider.sh" encodec encodec encodec==0.1.1
