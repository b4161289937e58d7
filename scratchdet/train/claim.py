"""The folder of a run is that of one training at a time."""

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from scratchdet.files import writing
from scratchdet.train.distributed import Ranks, from_first

LOCK = ".lock"
TAKEN = {errno.EACCES, errno.EAGAIN}
WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL}  # some file systems


@contextmanager
def claimed(run_dir: Path, ranks: Ranks) -> Iterator[None]:
    """Inside, no other process can claim `run_dir`, which is made; an empty one is removed again.

    All ranks call it together. Raises FileExistsError on all of them if another process has it. The
    claim ends with the process, however that ends. Where the system has no locks nothing is held.
    """
    with ExitStack() as held:
        from_first(ranks, lambda: held.enter_context(_locked(run_dir)))
        yield


@contextmanager
def _locked(run_dir: Path) -> Iterator[None]:
    with writing(run_dir):
        run_dir.mkdir(parents=True, exist_ok=True)
    lock = _lock(run_dir) if os.name == "posix" else None
    try:
        yield
    finally:
        if lock is not None:
            (run_dir / LOCK).unlink(missing_ok=True)  # while it is held: it is ours
            os.close(lock)
        with suppress(OSError):  # it holds a run
            run_dir.rmdir()


def _lock(run_dir: Path) -> int:
    """The open file that holds the lock."""
    import fcntl  # of POSIX systems only

    path = run_dir / LOCK
    while True:
        with writing(path):
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            # Of this process alone: workers that outlive it for a moment do not hold it.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in WITHOUT_LOCKS:
                return file
            os.close(file)
            if error.errno not in TAKEN:
                raise
            raise FileExistsError(
                f"{run_dir} is being trained by another process: wait for its end, or choose "
                "another name"
            ) from error
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file), path.stat()):
                return file
        os.close(file)  # the one who had it has just removed it
