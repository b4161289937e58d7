"""Figures for TensorBoard, written by the process itself.

TensorBoard's own writer has a thread, which holds figures back for two minutes (a killed run loses
them) and prints a traceback of its own where the disk is full.
"""

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog, SourceMetadata
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from scratchdet.files import writing


class EventFile:
    """A new file of figures in `folder`; those that other files there have from `start` on are out.

    A figure outlives the process as soon as `add` returns, and a power cut after `sync`.
    """

    def __init__(self, folder: Path, *, start: int) -> None:
        # Read in the order of their names: the time comes first.
        name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}"
        self.path = folder / name
        with writing(self.path):
            folder.mkdir(parents=True, exist_ok=True)
            self.file = self.path.open("xb")
        self.records = RecordWriter(self.file)
        source = SourceMetadata(writer="scratchdet")
        self._write(Event(file_version="brain.Event:2", source_metadata=source))
        self._write(Event(step=start, session_log=SessionLog(status=SessionLog.START)))

    def add(self, step: int, figures: Mapping[str, float]) -> None:
        """The figures of a step, by their names: `train/loss`."""
        values = [Summary.Value(tag=name, simple_value=value) for name, value in figures.items()]
        self._write(Event(step=step, summary=Summary(value=values)))

    def sync(self) -> None:
        """Waits until all figures are on the disk."""
        with writing(self.path):
            os.fsync(self.file.fileno())

    def close(self) -> None:
        with writing(self.path):
            self.file.close()

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        with writing(self.path):
            self.records.write(event.SerializeToString())
            self.file.flush()
