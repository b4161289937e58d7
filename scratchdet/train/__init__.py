"""Training: the loop, and what it calls. The package is also the function `scratchdet.train(...)`.

Python binds the name of a sub-package in its parent when it is first imported, so a function of the
same name would be there or not depending on who imported what before. A module that can be called
is always both.
"""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    def __call__(self, *arguments: Any, **named: Any) -> Path:
        """See `scratchdet.train.loop.train`."""
        from scratchdet.train.loop import train

        return train(*arguments, **named)


sys.modules[__name__].__class__ = _CallablePackage
