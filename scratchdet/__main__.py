"""`python -m scratchdet` is `scratchdet`."""

import os
import sys

from scratchdet.cli import main

status = main()
if "LOCAL_RANK" in os.environ:  # `torchrun` has started it
    from scratchdet.train.launch import leave

    leave(status)
sys.exit(status)
