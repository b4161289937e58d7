"""A detector over everything there is to look at: results are written, pictures drawn."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from scratchdet.data.references import files_of
from scratchdet.detecting.names import Names
from scratchdet.detecting.output import (
    PICTURE,
    VIDEO,
    Output,
    check_folder,
    check_target,
    drawn,
    drawn_large,
    save_picture,
)
from scratchdet.detecting.sources import ImageFile, Sources
from scratchdet.detecting.thresholds import above
from scratchdet.detecting.video import count_frames, frame_batches, open_video, without_password
from scratchdet.detecting.video_file import writing_video
from scratchdet.detecting.views import View, image_batches
from scratchdet.detecting.writers import WRITERS, Result, Write
from scratchdet.structures import Arrays, DataError, Predictor, as_arrays


@dataclass(frozen=True, kw_only=True)
class Watching:
    """Who is told of what happens, and asked whether to go on."""

    progress: Callable[[int, int | None], None]
    """Images and frames done, and to do; None if there is a live stream."""
    unreadable: Callable[[str], None]
    """Why an image or a video is skipped, or ends early."""
    stop: Callable[[], bool]


@dataclass
class Summary:
    """What was done."""

    images: int = 0
    frames: int = 0
    objects: int = 0
    unreadable: int = 0
    full: int = 0
    """Images and frames with as many detections as are kept of one: there may be more objects.

    0 where nobody said how many are kept."""
    interrupted: bool = False
    """Something was left out because the user wanted to stop; not so of a live stream."""
    seconds: float = 0.0


def detect(
    detector: Predictor,
    sources: Sources,
    *,
    output: Output,
    least: np.ndarray,
    watching: Watching,
    keep: int | None = None,
    batch: int = 1,
    every: int = 1,
) -> Summary:
    """Writes what is found in all images, then in all videos.

    A picture is called as its (first) file is, an annotated video as the video; where two share a
    name, the later gets a number. least: see `thresholds`. keep: the most detections that the
    detector keeps of an image, if there is such a number. every: 2 for every second frame.
    """
    check_folder(output)
    if sources.videos:
        _check_takes_video(detector, sources.videos[0])
    run = _Run(
        detector=detector,
        output=output,
        least=least,
        watching=watching,
        keep=keep,
        total=_total(sources, every),
    )
    began = time.monotonic()
    with ExitStack() as stack:
        writers = [WRITERS[name](output.folder, detector.classes) for name in output.formats]
        run.writes = [stack.enter_context(writer) for writer in writers]
        run.images(sources.images, batch=batch)
        for source in sources.videos:
            run.video(source, batch=batch, every=every)
    run.summary.seconds = time.monotonic() - began
    return run.summary


@dataclass(kw_only=True)
class _Run:
    """What looking at one thing after another has in common."""

    detector: Predictor
    output: Output
    least: np.ndarray
    watching: Watching
    keep: int | None
    total: int | None
    writes: Sequence[Write] = ()
    summary: Summary = field(default_factory=Summary)
    names: Names = field(default_factory=Names)

    def images(self, images: Sequence[ImageFile], *, batch: int) -> None:
        for result in self._look(image_batches(images, self.detector, batch=batch)):
            self.summary.images += 1
            if self.output.pictures:
                target = self.output.folder / f"{result.stem}{PICTURE}"
                check_target(target, files_of(result.view.reference))
                picture = drawn_large(result.image, result.found, self.detector.classes)
                save_picture(picture, target)
        self.summary.interrupted |= self.watching.stop()

    def video(self, source: str, *, batch: int, every: int) -> None:
        if self.watching.stop():
            self.summary.interrupted = True
            return
        try:
            video = open_video(source)
        except DataError as error:
            self._skip(error)
            return
        video = replace(video, stem=self.names.free(video.stem, frames=True))
        target = self.output.folder / f"{video.stem}{VIDEO}"
        check_target(target, [source])
        channels, stop = self.detector.in_channels, self.watching.stop
        views = frame_batches(video, channels=channels, batch=batch, every=every, stop=stop)
        with ExitStack() as stack:
            stack.callback(video.capture.release)
            stack.enter_context(closing(views))  # first: a thread may still be reading
            add = None
            for result in self._look(views):
                self.summary.frames += 1
                if not self.output.pictures:
                    continue
                if add is None:  # now its size is known
                    file = writing_video(target, rate=video.rate, size=result.size)
                    add = stack.enter_context(file)
                picture = drawn(result.image, result.found, self.detector.classes)
                add(picture, result.view.frame or 0)
        self.summary.interrupted |= stop() and not video.live

    def _look(self, batches: Iterable[list[View]]) -> Iterator[Result]:
        """What is found, and written, in all views with an image; the others are told."""
        asked = float(self.least.min())
        for views in batches:
            if self.watching.stop():
                return
            images = [view.image for view in views if isinstance(view.image, np.ndarray)]
            in_images = iter(self.detector.predict(images, min_score=asked) if images else ())
            for view in views:
                if isinstance(view.image, DataError):
                    self._skip(view.image)
                else:
                    yield self._written(view, view.image, as_arrays(next(in_images)))
                done = self.summary.images + self.summary.frames + self.summary.unreadable
                self.watching.progress(done, self.total)

    def _written(self, view: View, image: np.ndarray, found: Arrays) -> Result:
        self.summary.full += len(found.scores) == self.keep
        # The names of frames follow from that of their video, and are too many to be remembered.
        stem = view.name if view.frame is not None else self.names.free(Path(view.name).stem)
        result = Result(view, stem, image, above(found, self.least))
        self.summary.objects += len(result.found.scores)
        for write in self.writes:
            write(result)
        return result

    def _skip(self, error: DataError) -> None:
        self.summary.unreadable += 1
        self.watching.unreadable(str(error))


def _check_takes_video(detector: Predictor, video: str) -> None:
    """DataError if the detector's images are none that a video has."""
    if detector.in_channels not in (1, 3) or detector.image_dtype != "uint8":
        raise DataError(
            f"{without_password(video)}: a video has 3 channels of uint8, or grey; this detector "
            f"takes {detector.in_channels} of {detector.image_dtype}"
        )


def _total(sources: Sources, every: int) -> int | None:
    """Images and frames that there are to look at; None if nobody knows."""
    counts = [count_frames(source) for source in sources.videos]
    if None in counts:
        return None
    return len(sources.images) + sum(-(-count // every) for count in counts if count)
