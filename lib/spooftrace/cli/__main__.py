"""``python -m spooftrace.cli``: the ``spooftrace`` command."""

import sys

from spooftrace.cli.main import main

sys.exit(main())
