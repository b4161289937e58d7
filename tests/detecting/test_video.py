"""Videos and streams: which frames are seen, when they were, and what is made of them."""

import threading
import time
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest
from rtsp_camera import rtsp_camera

from scratchdet.detecting.video import count_frames, open_video, without_password
from scratchdet.detecting.video_file import writing_video
from scratchdet.structures import DataError

BOUNDARY = "frame"


@contextmanager
def served(handler):
    """The address of a web server on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def camera(frame, frames: int, *, pause: float = 0.0):
    """A web camera: JPEG after JPEG in one answer, as such cameras send them, then no more."""

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
            self.end_headers()
            for number in range(frames):
                jpeg = cv2.imencode(".jpg", frame(number))[1].tobytes()
                head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}"
                try:
                    self.wfile.write(head.encode() + b"\r\n\r\n" + jpeg + b"\r\n")
                except OSError:  # nobody is looking any more
                    return
                time.sleep(pause)

        def log_message(self, *_: object) -> None: ...

    return Camera


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
@pytest.mark.parametrize("batch", [1, 4])
def test_every_frame_has_a_line_with_its_number_and_time(tmp_path, film, look, suffix, batch):
    file = film(tmp_path / f"film{suffix}", frames=10, rate=12.5)
    done = look([file], tmp_path / "out", batch=batch)
    assert (done.summary.frames, done.summary.images, done.summary.objects) == (10, 0, 10)
    assert [line["image"] for line in done.lines] == [str(file)] * 10
    assert [line["frame"] for line in done.lines] == list(range(10))
    assert [line["seconds"] for line in done.lines] == pytest.approx(
        [n * 0.08 for n in range(10)], abs=0.001
    )
    assert done.progress[-1] == (10, 10)
    assert done.unreadable == []


def test_the_annotated_video_has_the_frames_the_rate_and_the_size(tmp_path, film, look, numbers):
    file = film(tmp_path / "film.avi", frames=12, size=(90, 120), rate=12.5)
    look([file], tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"detections.jsonl", "film.mp4"}
    capture = cv2.VideoCapture(str(tmp_path / "out/film.mp4"))
    assert capture.get(cv2.CAP_PROP_FPS) == 12.5
    size = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
    assert size == (120, 90)
    assert numbers(tmp_path / "out/film.mp4") == list(range(12))
    pixels = capture.read()[1]
    assert pixels[3:30, 1:4].max() > 100  # the left side of the box, on black
    assert pixels[:70, 60:].max() < 20


def test_of_every_third_frame_the_picture_stays_until_the_next(tmp_path, film, look, numbers):
    file = film(tmp_path / "film.avi", frames=11)
    done = look([file], tmp_path / "out", every=3)
    assert [line["frame"] for line in done.lines] == [0, 3, 6, 9]
    assert done.lines[-1]["seconds"] == pytest.approx(0.9, abs=0.01)
    assert done.progress[-1] == (4, 4)
    assert numbers(tmp_path / "out/film.mp4") == [0, 0, 0, 3, 3, 3, 6, 6, 6, 9]


def test_images_come_first_and_names_are_not_shared(tmp_path, film, picture, look):
    film(tmp_path / "in/1/a.avi", frames=2)
    film(tmp_path / "in/2/a.avi", frames=3)
    picture(tmp_path / "in/3/a.png")
    done = look([tmp_path / "in"], tmp_path / "out")
    assert [line.get("frame") for line in done.lines] == [None, 0, 1, 0, 1, 2]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"detections.jsonl", "a.png", "a-2.mp4", "a-3.mp4"}
    assert done.progress[-1] == (6, 6)


def test_an_image_called_like_a_frame_keeps_its_results(tmp_path, film, picture, look):
    film(tmp_path / "in/film.mp4", frames=2)
    picture(tmp_path / "in/film-frame-000000.png")
    look([tmp_path / "in"], tmp_path / "out", formats=["jsonl", "voc", "yolo"])
    stems = {path.stem for path in (tmp_path / "out/Annotations").iterdir()}
    assert stems == {"film-frame-000000", "film-2-frame-000000", "film-2-frame-000001"}


@pytest.mark.parametrize(("channels", "shape"), [(1, (96, 128, 1)), (3, (96, 128, 3))])
def test_a_frame_has_the_channels_of_the_detector(tmp_path, film, look, finder, channels, shape):
    detector = finder(channels=channels)
    look([film(tmp_path / "film.avi", frames=1)], tmp_path / "out", detector)
    assert detector.shapes == [shape]


def test_frames_are_rgb(tmp_path, look, finder):
    writer = cv2.VideoWriter(
        str(tmp_path / "red.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48)
    )
    writer.write(np.full((48, 64, 3), (0, 0, 250), np.uint8))  # OpenCV's order is blue first
    writer.release()
    seen = []
    detector = finder()
    find = detector.predict
    detector.predict = lambda images, **named: seen.append(images[0]) or find(images, **named)
    look([tmp_path / "red.avi"], tmp_path / "out", detector)
    assert seen[0][..., 0].min() > 200
    assert seen[0][..., 2].max() < 50


def test_no_error_tells_a_password(tmp_path, look, finder):
    with pytest.raises(DataError) as told:
        look(["rtsp://me:secret@cam/a?pwd=secret"], tmp_path / "out", finder(channels=2))
    assert str(told.value).startswith("rtsp://cam/a: a video has 3 channels")


@pytest.mark.parametrize("wrong", [{"channels": 2}, {"image_dtype": "uint16"}])
def test_a_detector_of_other_images_is_given_no_video(tmp_path, film, look, finder, wrong):
    with pytest.raises(DataError, match=r"film\.avi: a video has 3 channels of uint8, or grey"):
        look([film(tmp_path / "film.avi")], tmp_path / "out", finder(**wrong))
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_video_is_told_and_the_others_are_looked_at(tmp_path, film, look):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    film(tmp_path / "b.avi", frames=2)
    done = look([tmp_path], tmp_path / "out")
    assert done.unreadable == [f"{tmp_path}/a.mp4: not a video, or a damaged one"]
    assert (done.summary.frames, done.summary.unreadable) == (2, 1)
    assert not (tmp_path / "out/a.mp4").exists()


def test_a_video_that_is_cut_off_is_seen_to_its_end_and_told(tmp_path, film, look, numbers):
    whole = film(tmp_path / "film.avi", frames=40)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    done = look([whole], tmp_path / "out")
    assert 10 < done.summary.frames < 30
    assert done.unreadable == [
        f"{whole}: it ends after frame {done.summary.frames - 1} of 40: damaged, or cut off"
    ]
    assert numbers(tmp_path / "out/film.mp4") == list(range(done.summary.frames))


def test_a_video_is_not_overwritten_by_its_result(tmp_path, film, look):
    file = film(tmp_path / "film.mp4", frames=2)
    before = file.read_bytes()
    with pytest.raises(DataError, match=r"film\.mp4: is no annotated picture or video"):
        look([file], tmp_path)
    (tmp_path / "detections.jsonl").touch()
    with pytest.raises(DataError, match=r"film\.mp4: is no annotated picture or video"):
        look([file], tmp_path)
    assert file.read_bytes() == before
    look([file], tmp_path / "out")
    with pytest.raises(DataError, match=r"film\.mp4 would be overwritten by its result"):
        look([tmp_path / "out/film.mp4"], tmp_path / "out")


def test_an_annotated_video_is_replaced_by_the_next(tmp_path, film, look, numbers):
    file = film(tmp_path / "film.mp4", frames=2)
    look([file], tmp_path / "out")
    film(file, frames=3)
    look([file], tmp_path / "out")
    assert numbers(tmp_path / "out/film.mp4") == [0, 1, 2]


def test_an_error_leaves_no_half_of_a_video(tmp_path, film, look, finder):
    detector = finder()
    find = detector.predict

    def break_down(images, **named):
        if len(detector.batches) == 2:
            raise RuntimeError("out of memory")
        return find(images, **named)

    detector.predict = break_down
    with pytest.raises(RuntimeError, match="out of memory"):
        look([film(tmp_path / "film.avi")], tmp_path / "out", detector)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_picture_of_another_size_is_fitted_into_the_video(tmp_path, numbers, frame):
    with writing_video(tmp_path / "a.mp4", rate=10, size=(64, 48)) as add:
        for number, size in enumerate([(48, 64), (96, 128)]):
            add(frame(number, size), number)
    assert numbers(tmp_path / "a.mp4") == [0, 1]


def test_frames_that_did_not_reach_the_disk_are_an_error(tmp_path, monkeypatch):
    class Full:
        """What OpenCV's writer does on a full disk: nothing, and says nothing."""

        fourcc = staticmethod(cv2.VideoWriter.fourcc)

        def __init__(self, path: str, *_: object) -> None:
            open(path, "w").close()

        def isOpened(self) -> bool:
            return True

        def write(self, pixels: np.ndarray) -> None: ...

        def release(self) -> None: ...

    monkeypatch.setattr(cv2, "VideoWriter", Full)
    with (
        pytest.raises(RuntimeError, match="0 of 1 frames were written; is the disk full"),
        writing_video(tmp_path / "a.mp4", rate=10, size=(64, 48)) as add,
    ):
        add(np.zeros((48, 64, 3), np.uint8), 0)
    assert list(tmp_path.iterdir()) == []


def test_a_file_on_a_web_server_is_seen_as_a_whole(tmp_path, film, look, numbers):
    film(tmp_path / "www/film.mp4", frames=30)
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path / "www")
    with served(handler) as address:
        done = look([f"{address}/film.mp4?token=1"], tmp_path / "out")
    assert [line["frame"] for line in done.lines] == list(range(30))
    assert done.unreadable == []
    assert numbers(tmp_path / "out/film.mp4") == list(range(30))


def test_a_stream_that_breaks_off_ends_with_what_was_found(tmp_path, look, numbers, frame):
    with served(camera(frame, 20, pause=0.02)) as address:
        done = look([f"{address}/live.mjpg"], tmp_path / "out")
    assert done.summary.frames >= 10
    assert done.lines[-1]["frame"] == 19  # the newest, whatever was passed over
    assert 0.2 < done.lines[-1]["seconds"] < 20
    (why,) = done.unreadable
    assert why == f"{address}/live.mjpg: the stream ended after 20 frames"
    assert len(numbers(tmp_path / "out/live.mp4")) == 20
    assert done.progress[-1][1] is None


def test_of_a_stream_too_every_fifth_frame_can_be_looked_at(tmp_path, look, frame):
    with served(camera(frame, 40, pause=0.01)) as address:
        done = look([f"{address}/live"], tmp_path / "out", every=5)
    seen = [line["frame"] for line in done.lines]
    assert seen
    assert all(number % 5 == 0 for number in seen)


def test_who_looks_slowly_sees_the_newest_frame_of_a_stream(tmp_path, look, finder, numbers, frame):
    detector = finder()
    find = detector.predict
    detector.predict = lambda images, **named: time.sleep(0.1) or find(images, **named)
    with served(camera(frame, 100, pause=0.01)) as address:
        done = look([f"{address}/live"], tmp_path / "out", detector)
    seen = [line["frame"] for line in done.lines]
    assert seen == sorted(set(seen))
    assert len(seen) < 60
    assert seen[-1] == 99
    assert len(numbers(tmp_path / "out/live.mp4")) == 100  # each picture stays until the next


def test_a_stream_is_ended_by_the_user_with_everything_written(
    tmp_path, look, finder, numbers, frame
):
    detector = finder()
    with served(camera(frame, 100_000, pause=0.01)) as address:
        done = look(
            [f"{address}/live"], tmp_path / "out", detector, stop=lambda: len(detector.batches) > 4
        )
    assert (done.summary.interrupted, done.unreadable) == (False, [])
    assert done.summary.frames == len(done.lines) == 5
    assert len(numbers(tmp_path / "out/live.mp4")) == done.lines[-1]["frame"] + 1


def test_a_camera_that_speaks_rtsp_is_looked_at_until_it_hangs_up(tmp_path, look, numbers, frame):
    with rtsp_camera(frame, frames=40, pause=0.02) as address:
        done = look([address.replace("://", "://me:secret@")], tmp_path / "out")
    seen = [line["frame"] for line in done.lines]
    assert seen == sorted(set(seen))
    assert seen[-1] == 39
    assert {line["image"] for line in done.lines} == {address}
    assert done.unreadable == [f"{address}: the stream ended after 40 frames"]
    shown = numbers(tmp_path / "out/live.mp4")
    assert [shown[number] for number in seen] == seen
    assert len(shown) == 40


def test_a_film_is_ended_by_the_user_with_what_was_found(tmp_path, film, look, finder, numbers):
    film(tmp_path / "a.avi", frames=100)
    film(tmp_path / "b.avi", frames=100)
    detector = finder()
    done = look([tmp_path], tmp_path / "out", detector, stop=lambda: len(detector.batches) == 3)
    assert done.summary.interrupted
    assert [line["frame"] for line in done.lines] == [0, 1, 2]
    assert numbers(tmp_path / "out/a.mp4") == [0, 1, 2]
    assert not (tmp_path / "out/b.mp4").exists()


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("webcam:63", "webcam:63: there is no such camera, or another program uses it"),
        ("http://127.0.0.1:9/a", "http://127.0.0.1:9/a: there is no such stream"),
        ("rtsp://me:secret@127.0.0.1:9/a", "rtsp://127.0.0.1:9/a: there is no such stream"),
    ],
)
def test_what_is_not_there_is_told(tmp_path, look, source, why):
    done = look([source], tmp_path / "out")
    assert done.summary.unreadable == 1
    assert done.unreadable[0].startswith(why)
    assert done.lines == []


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://me:p@ss@cam:554/live?x=1", "rtsp://cam:554/live"),
        ("rtsp://cam/live?user=me&pwd=p#p", "rtsp://cam/live"),
        ("http://cam/a.mjpg", "http://cam/a.mjpg"),
        ("a@b.mp4", "a@b.mp4"),
        ("webcam:1", "webcam:1"),
    ],
)
def test_passwords_are_not_shown(address, shown):
    assert without_password(address) == shown


def test_a_video_says_how_many_frames_it_has_and_a_stream_does_not(tmp_path, film):
    assert count_frames(str(film(tmp_path / "film.avi", frames=7))) == 7
    assert count_frames(str(tmp_path / "none.avi")) == 0
    assert count_frames("webcam") is None
    assert count_frames("rtsp://127.0.0.1:9/a") is None


def test_a_name_that_is_not_unicode_is_told(tmp_path):
    """OpenCV ends the process on one."""
    odd = tmp_path / "caf\udce9.mp4"
    with pytest.raises(DataError, match="videos need names that are Unicode; rename it"):
        open_video(str(odd))
    with (
        pytest.raises(DataError, match="videos need names that are Unicode; rename it"),
        writing_video(odd, rate=10, size=(64, 48)),
    ):
        pass
