#!/usr/bin/env bash
# Install speechbrain into tools/venv, for the front-ends XVector and ECAPA. Does nothing when it is there. Usage:
# tools/install_speechbrain.sh
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/provider.sh" speechbrain speechbrain.lobes.models.ECAPA_TDNN speechbrain==1.1.2
