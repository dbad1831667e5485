#!/usr/bin/env python3
"""Run a command, or many numbered tasks, on a cluster with Grid Engine: utils/sge.py --help, conf/cluster/sge.conf."""

import sys
from pathlib import Path

# From the source tree, since this script has to work before anything is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from spooftrace.jobs import cluster, sge

if __name__ == "__main__":
    sys.exit(cluster.main(sys.argv[1:], sge.GridEngine()))
