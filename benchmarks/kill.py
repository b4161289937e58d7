"""What a run loses when it is killed, its disk is full, or its checkpoint damaged.

    python benchmarks/kill.py               all of it, about ten minutes; writes results/kill.json
    python benchmarks/kill.py --quick       a minute, for the tests
    python benchmarks/kill.py --table       the last results as a table

Each trial disturbs a small training, resumes it, and compares everything in its folder with a run
that was left alone: log, models, checkpoints, figures, pictures, bit for bit; times are left out.
Exit status 1 if anything differs.
"""

import argparse
import json
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache, partial
from itertools import cycle, product
from pathlib import Path
from typing import Any

import faults
import torch
from trials import Ended, begin, differences, go_on, make_data, recipe_for, step_resumed

from scratchdet.train.device import choose_precision
from scratchdet.version import describe_code

RESULTS = Path(__file__).parent / "results" / "kill.json"
MOMENTS = 20  # at random
WORKERS = (0, 1, 2)
# How a process ends: as the shell has it, or the signal.
SAVED, INTERRUPTED, KILLED, TERMINATED = 1, 130, -signal.SIGKILL, -signal.SIGTERM
OUTSIDE = ("while images are surveyed", "while the report is written")  # of the steps


class Trials:
    """Runs in a folder of their own, and what came of them."""

    def __init__(self, folder: Path, *, seed: int, workers: tuple[int, ...]) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.data = make_data(folder / "data")
        self.results: list[dict[str, Any]] = []
        native = choose_precision("auto", torch.device("cpu"))
        self.settings = cycle(product(workers, dict.fromkeys(("fp32", native))))
        self.straight = cache(self._straight)

    def _straight(self, workers: int, precision: str) -> tuple[Path, float]:
        """The run that is left alone, and the seconds it took."""
        run = self.folder / f"straight-{workers}-{precision}"
        begin(run, recipe_for(self.data, workers=workers, precision=precision))
        began = time.monotonic()
        ended = go_on(run)
        assert ended.status == 0, ended.said
        return run, time.monotonic() - began

    def disturbed(
        self,
        kind: str,
        what: str,
        disturb: Callable[[Path, float], Ended],
        *,
        folder: Path | None = None,
        after: Callable[[Path], list[str]] = lambda run: [],
    ) -> None:
        """One trial: `disturb(run, seconds)` starts a run and lets something happen to it.

        after: done before it is resumed; gives what was not as it should be.
        """
        workers, precision = next(self.settings)
        straight, seconds = self.straight(workers, precision)
        run = (folder or self.folder) / "run"
        begin(run, recipe_for(self.data, workers=workers, precision=precision))
        ended = disturb(run, seconds)
        wrong = after(run)
        resumed = go_on(run)
        if resumed.status:
            wrong.append(f"resuming ended with {resumed.status}: {resumed.said[-500:]}")
        else:
            wrong += differences(run, straight)
        shutil.rmtree(run)
        self.results.append(
            {
                "kind": kind,
                "what": what,
                "workers": workers,
                "precision": precision,
                "status": ended.status,
                "resumed_at_step": step_resumed(resumed.said),
                "lost": wrong,
            }
        )
        print(f"{kind}: {what} ({workers} workers, {precision}): {wrong or 'nothing lost'}")

    def kill_at_random(self, count: int) -> None:
        for _ in range(count):
            share = self.random.random()
            self.disturbed(
                "killed",
                f"at a random moment, {share:.0%} of the time that a run takes",
                lambda run, seconds, share=share: kill_within(run, share * seconds),
            )

    def kill_again_and_again(self) -> None:
        def disturb(run: Path, _: float) -> Ended:
            for _ in range(3):  # each comes further than the one before: two steps to a checkpoint
                ended = go_on(run, disturb=partial(faults.IN_THIRD_STEP, faults.kill))
                assert ended.status == KILLED, ended
            return ended

        self.disturbed("killed", "three times in a row", disturb)

    def at_moments(
        self,
        kind: str,
        moments: dict[str, faults.Moment],
        happening: faults.Happening,
        *,
        status: Callable[[str], int],
    ) -> None:
        """It happens at each of the moments, and the run ends with the status of that one."""
        for what, moment in moments.items():

            def disturb(run: Path, _: float, moment: Any = moment, what: str = what) -> Ended:
                ended = go_on(run, disturb=partial(moment, happening))
                assert ended.status == status(what), ended
                return ended

            self.disturbed(kind, what, disturb)

    def fill(self, moments: dict[str, faults.Moment], disk: Path | None) -> None:
        """The disk is full where the moments say; it is a limit on files where `disk` is None."""

        def one_line(run: Path, said: list[str]) -> list[str]:
            (run.parent / "filler").unlink(missing_ok=True)
            names = [path.name for path in run.rglob(".*")]
            last = said[0].strip().splitlines()[-1]
            told = "No space left on device" in last or "File too large" in last
            clear = told and str(run) in last and "--resume" in last and "Traceback" not in said[0]
            return [*names, *([] if clear else [f"said: {said[0][-500:]}"])]

        happening = faults.forbid_writing if disk is None else partial(faults.fill, disk)
        for what, moment in moments.items():
            said: list[str] = []

            def disturb(run: Path, _: float, moment: Any = moment, said: Any = said) -> Ended:
                ended = go_on(run, disturb=partial(moment, happening))
                said.append(ended.said if ended.status == 1 else f"status {ended.status}")
                return ended

            kind = "file size limited" if disk is None else "disk full"
            after = partial(lambda run, said: one_line(run, said), said=said)
            self.disturbed(kind, f"at {what}", disturb, folder=disk, after=after)

    def damage(self, ways: dict[str, Callable[[Path], None]]) -> None:
        moment = faults.TO_KILL["last checkpoint written, report not"]
        for what, way in ways.items():

            def disturb(run: Path, _: float, way: Any = way) -> Ended:
                ended = go_on(run, disturb=partial(moment, faults.kill))
                way(run / "last" / "checkpoint.safetensors")
                return ended

            self.disturbed("checkpoint damaged", what, disturb)

    def flip(self, path: Path) -> None:
        """Changes one bit of a file."""
        content = bytearray(path.read_bytes())
        content[self.random.randrange(len(content))] ^= 1 << self.random.randrange(8)
        path.write_bytes(content)


def kill_within(run: Path, seconds: float) -> Ended:
    """Starts a run and kills it after the given time; sooner if it was quicker than that."""
    recipe = (run / "recipe.toml").read_bytes()
    while (ended := go_on(run, kill_after=seconds)).status != KILLED:
        seconds *= 0.8
        shutil.rmtree(run)
        run.mkdir()
        (run / "recipe.toml").write_bytes(recipe)
    return ended


def cut(path: Path) -> None:
    """Leaves the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """A file system of 64 MiB, where this process may make one; else None."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    try:
        made = subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        made = False
    try:
        yield folder if made else None
    finally:
        if made:
            subprocess.run(["umount", str(folder)], check=True)


def run_all(trials: Trials) -> None:
    trials.kill_at_random(MOMENTS)
    trials.kill_again_and_again()
    trials.at_moments("killed", faults.TO_KILL, faults.kill, status=lambda what: KILLED)
    for kind, happening, unsaved in (
        ("Ctrl-C", faults.press_ctrl_c, INTERRUPTED),
        ("SIGTERM", faults.terminate, TERMINATED),
    ):
        trials.at_moments(
            kind,
            faults.TO_STOP,
            happening,
            status=lambda what, unsaved=unsaved: unsaved if what in OUTSIDE else SAVED,
        )
    trials.fill(faults.TO_FILL, None)
    with small_disk(trials.folder / "disk") as disk:
        if disk is not None:
            on_disk = ("recipe.toml", "checkpoint", "model", "detections.png", "metrics.json")
            trials.fill({name: faults.TO_FILL[name] for name in on_disk}, disk)
    trials.damage(
        {
            **{f"one bit flipped ({number})": trials.flip for number in range(1, 6)},
            "half of it gone": cut,
            "empty": lambda path: path.write_bytes(b""),
            "overwritten with zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
            "deleted": Path.unlink,
        }
    )


def run_quick(trials: Trials) -> None:
    trials.kill_at_random(1)
    quick = {name: faults.TO_KILL[name] for name in faults.QUICK}
    trials.at_moments("killed", quick, faults.kill, status=lambda what: KILLED)
    trials.fill({"checkpoint": faults.TO_FILL["checkpoint"]}, None)
    trials.damage({"one bit flipped": trials.flip})


def table(results: list[dict[str, Any]]) -> str:
    """Markdown: a row for each kind of trial, and each moment that was aimed at."""
    lines = ["| what happened | when | trials | lost |", "|---|---|---|---|"]
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in results:
        when = one["what"].split(",")[0] if one["what"].startswith("at a random") else one["what"]
        rows.setdefault((one["kind"], when.split(" (")[0]), []).append(one)
    for (kind, when), ones in rows.items():
        lost = [item for one in ones for item in one["lost"]]
        lines.append(f"| {kind} | {when} | {len(ones)} | {'; '.join(lost) or 'nothing'} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few trials, nothing is written")
    parser.add_argument("--table", action="store_true", help="print the last results as a table")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file of the results")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    given = parser.parse_args()
    if given.table:
        print(table(json.loads(RESULTS.read_text(encoding="utf-8"))["trials"]), end="")
        return 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        workers = (1,) if given.quick else WORKERS
        trials = Trials(Path(folder), seed=given.seed, workers=workers)
        (run_quick if given.quick else run_all)(trials)
    results = trials.results
    lost = [one for one in results if one["lost"]]
    print(f"{len(results)} trials in {time.monotonic() - began:.0f} s, {len(lost)} lost something")
    if not given.quick:
        about = {
            "task": "a run of 8 steps is disturbed, resumed, and compared bit for bit",
            "trials": results,
            "machine": f"CPU, {platform.processor() or platform.machine()}, 1 thread",
            "versions": {"torch": torch.__version__},
            "commit": describe_code(),
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
        }
        given.out.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
