#!/usr/bin/env bash
# Install s3prl into tools/venv, for the front-end S3PRL. Does nothing when it is there. Usage: tools/install_s3prl.sh
# espnet-s3prl is the distribution that is kept up: s3prl 0.4.18 cannot be imported with torchaudio 2.9 or newer.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/provider.sh" s3prl s3prl.hub espnet-s3prl==2026.5.14
