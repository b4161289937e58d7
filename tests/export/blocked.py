"""Runs `scratchdet ARGUMENTS` where importing torch fails, and says how long it took."""

import sys
from importlib.abc import MetaPathFinder

BLOCKED = ("torch", "torchvision")


class Blocker(MetaPathFinder):
    """Finds nothing, but refuses what is blocked, whoever asks."""

    def find_spec(self, fullname, path, target=None):
        if fullname.split(".")[0] in BLOCKED:
            raise ImportError(f"{fullname} is blocked")


if __name__ == "__main__":
    sys.meta_path.insert(0, Blocker())
    from scratchdet.cli import main

    sys.exit(main(["--debug", *sys.argv[1:]]))
