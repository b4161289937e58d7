"""`python -m scratchdet` is `scratchdet`."""

import sys

from scratchdet.cli import main

sys.exit(main())
