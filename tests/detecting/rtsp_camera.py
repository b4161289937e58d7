"""A camera that speaks RTSP, as far as one viewer needs: JPEGs in RTP, inside the connection.

RTSP is RFC 2326 (interleaved data: 10.12), JPEG in RTP is RFC 2435, RTP itself RFC 3550.
"""

import socketserver
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2
import numpy as np

CLOCK = 90_000  # ticks a second, of every video in RTP
JPEG = 26  # the payload type
DQT, SOS = b"\xff\xdb", b"\xff\xda"  # markers in a JPEG: a table of divisors, the pixels


def payload(pixels: np.ndarray) -> bytes:
    """The picture as RFC 2435, section 3.1, has it: its tables, then the pixels."""
    jpeg = cv2.imencode(".jpg", pixels)[1].tobytes()
    tables = b"".join(part[3:67] for part in jpeg.split(SOS)[0].split(DQT)[1:])
    scan = jpeg.split(SOS, 1)[1]
    scan = scan[struct.unpack(">H", scan[:2])[0] : -2]  # after its header, before the end marker
    height, width = pixels.shape[:2]
    four_two_zero, own_tables = 1, 255
    header = struct.pack(">IBBBB", 0, four_two_zero, own_tables, width // 8, height // 8)
    return header + struct.pack(">BBH", 0, 0, len(tables)) + tables + scan


@contextmanager
def rtsp_camera(frame: Callable[[int], np.ndarray], *, frames: int, pause: float) -> Iterator[str]:
    """The address of a camera that sends `frame(0)`, `frame(1)`, ... and then hangs up."""

    class Camera(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while request := self.read_request():
                self.answer(*request)
                if request[0] == "PLAY":
                    return self.play()

        def read_request(self) -> tuple[str, str] | None:
            lines = [line.decode().strip() for line in iter(self.rfile.readline, b"\r\n") if line]
            if not lines:
                return None
            headers = dict(line.split(": ", 1) for line in lines[1:])
            return lines[0].split()[0], headers["CSeq"]

        def answer(self, method: str, number: str) -> None:
            body = f"v=0\r\ns=-\r\nm=video 0 RTP/AVP {JPEG}\r\na=control:0\r\n"
            more = {
                "OPTIONS": "Public: DESCRIBE, SETUP, PLAY\r\n",
                "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n",
                "SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n",
            }
            text = f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\nSession: 1\r\n{more.get(method, '')}\r\n"
            self.wfile.write((text + (body if method == "DESCRIBE" else "")).encode())

        def play(self) -> None:
            for number in range(frames):
                last_of_picture = 0x80 | JPEG
                time_stamp = int(number * pause * CLOCK)
                packet = struct.pack(">BBHII", 0x80, last_of_picture, number, time_stamp, 1)
                packet += payload(frame(number))
                try:
                    self.wfile.write(b"$\0" + struct.pack(">H", len(packet)) + packet)
                except OSError:  # nobody is looking any more
                    return
                time.sleep(pause)

    socketserver.ThreadingTCPServer.allow_reuse_address = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Camera) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"rtsp://127.0.0.1:{server.server_address[1]}/live"
        finally:
            server.shutdown()
            thread.join()
