"""A headless Chromium, driven over a pipe: what a page logs, asks for, and looks like."""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE = 60.0  # seconds for an answer; other work may be going on


def find_browser() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


class Seen(NamedTuple):
    """A page as it was opened."""

    requests: list[str]
    """Addresses that were asked for, besides the page itself."""
    messages: list[str]
    """On the console, and uncaught errors."""
    seconds: float
    """Until everything was loaded, by the page's own clock."""
    width: int
    """Of the content, in CSS pixels."""
    screenshot: bytes
    """PNG of the whole page."""
    answers: list
    """What was asked of it."""


class Browser:
    """Chromium's DevTools protocol: a message is JSON that ends with a zero byte."""

    def __init__(self, process, to_browser: int, from_browser: int) -> None:
        self.process, self.to_browser, self.from_browser = process, to_browser, from_browser
        self.number, self.left, self.events = 0, b"", []

    def call(self, method: str, session: str | None = None, **params) -> dict:
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self.to_browser, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self.number:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def wait_for(self, method: str) -> None:
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self._next())

    def _next(self) -> dict:
        end = time.monotonic() + PATIENCE
        while b"\0" not in self.left:
            if not select.select([self.from_browser], [], [], end - time.monotonic())[0]:
                raise TimeoutError("the browser does not answer")
            self.left += os.read(self.from_browser, 1 << 20)
        message, self.left = self.left.split(b"\0", 1)
        return json.loads(message)

    def open(
        self,
        path: Path,
        *,
        width: int,
        dark: bool = False,
        phone: bool = False,
        ask: Sequence[str] = (),
    ) -> Seen:
        """Opens a file in a window of `width` CSS pixels. ask: JavaScript, each for an answer."""
        self.events = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

        def call(method: str, **params) -> dict:
            return self.call(method, session, **params)

        for domain in ("Page", "Runtime", "Log", "Network"):
            call(f"{domain}.enable")
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": phone}
        call("Emulation.setDeviceMetricsOverride", **screen)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        call("Emulation.setEmulatedMedia", features=[scheme])
        self.events = []
        address = path.resolve().as_uri()
        call("Page.navigate", url=address)
        self.wait_for("Page.loadEventFired")

        def answer(expression: str):
            return call("Runtime.evaluate", expression=expression)["result"].get("value")

        seconds = answer("performance.getEntriesByType('navigation')[0].loadEventEnd / 1000")
        content = answer("document.documentElement.scrollWidth")
        answers = [answer(one) for one in ask]
        image = call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        events = list(self.events)
        self.call("Target.closeTarget", targetId=target)
        asked = [
            event["params"]["request"]["url"]
            for event in events
            if event.get("method") == "Network.requestWillBeSent"
        ]
        told = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        messages = [json.dumps(event["params"]) for event in events if event.get("method") in told]
        return Seen(
            [one for one in asked if one != address and not one.startswith("data:")],
            messages,
            float(seconds),
            int(content),
            base64.b64decode(image),
            answers,
        )


@contextmanager
def browser(profile: Path):
    """A browser that keeps its files in `profile`."""
    child_reads, to_browser = os.pipe()
    from_browser, child_writes = os.pipe()
    program = find_browser()
    assert program is not None
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    flags += ["--no-first-run", "--disable-dev-shm-usage", f"--user-data-dir={profile}"]

    def as_three_and_four() -> None:
        # Where Chromium expects its pipe. Copied high first: a number may be in the way.
        read, write = os.dup(child_reads), os.dup(child_writes)
        os.dup2(read, 3)
        os.dup2(write, 4)

    process = subprocess.Popen(
        [program, *flags, "--remote-debugging-pipe", "about:blank"],
        preexec_fn=as_three_and_four,
        close_fds=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(child_reads)
    os.close(child_writes)
    driven = Browser(process, to_browser, from_browser)
    try:
        yield driven
        driven.call("Browser.close")
    finally:
        process.terminate()
        process.wait()
        os.close(to_browser)
        os.close(from_browser)
