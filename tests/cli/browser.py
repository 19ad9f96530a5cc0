# SPDX-License-Identifier: GPL-2.0-only
"""Headless Chromium for tests of pages, spoken to through its debugging pipe."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
# In a container, as root, without a screen; and nothing that asks the network by itself.
_ARGUMENTS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
              "--disable-quic", "--no-first-run", "--disable-background-networking",
              "--disable-component-update", "--disable-sync", "--remote-debugging-pipe")
_PATIENCE = 120.0


class Browser:
    """One Chromium with one page. What the page said and asked for since `open` is kept."""

    def __init__(self):
        program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
        if program is None:
            raise FileNotFoundError(f"none of {', '.join(_PROGRAMS)} is installed")
        self._profile = tempfile.TemporaryDirectory(prefix="exittop-chromium-",
                                                    ignore_cleanup_errors=True)
        self._process, self._to, self._from = self._start(program)
        self._number, self._buffer, self._events = 0, b"", []
        self._session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target,
                                  flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self._to)          # Chromium ends with its pipe.
        try:
            self._process.wait(_PATIENCE)
        finally:
            self._process.kill()
            self._process.wait()
            os.close(self._from)
            self._profile.cleanup()

    def _start(self, program: str):
        """Chromium reads commands from descriptor 3 and answers on 4."""
        commands_out, commands_in = os.pipe()
        answers_out, answers_in = os.pipe()
        script = f'exec "$@" 3<&{commands_out} 4>&{answers_in}'
        process = subprocess.Popen(
            ["bash", "-c", script, "bash", program, *_ARGUMENTS,
             f"--user-data-dir={self._profile.name}"],
            pass_fds=(commands_out, answers_in), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(commands_out)
        os.close(answers_in)
        return process, commands_in, answers_out

    def _receive(self) -> dict:
        while b"\0" not in self._buffer:
            read = os.read(self._from, 1 << 20)
            if not read:
                raise EOFError("Chromium ended")
            self._buffer += read
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method: str, **parameters) -> dict:
        """A command of the DevTools protocol and its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self._events.append(answer)

    def open(self, page: Path, width: int, dark: bool = False, script: bool = True) -> None:
        self._events.clear()
        self.call("Emulation.setScriptExecutionDisabled", value=not script)
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900,
                  deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", media="screen", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.call("Page.navigate", url=page.resolve().as_uri())
        end = time.monotonic() + _PATIENCE
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            if time.monotonic() > end:
                raise TimeoutError(f"{page} did not load")
            self._events.append(self._receive())

    def value(self, expression: str):
        """What a JavaScript expression is in the page."""
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True,
                         awaitPromise=True)
        if "exceptionDetails" in done:
            raise RuntimeError(f"{expression}: {done['exceptionDetails']}")
        return done["result"].get("value")

    def press(self, key: str) -> None:
        text = {"Enter": "\r", "Space": " "}.get(key, "")
        name = " " if key == "Space" else key
        code = {"Enter": 13, "Space": 32, "Tab": 9}[key]
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=key, text=text,
                      windowsVirtualKeyCode=code)

    def complaints(self) -> list[str]:
        """What the page wrote to the console, and what went wrong in it."""
        said = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [json.dumps(event["params"]) for event in self._events if event["method"] in said]

    def requests(self) -> list[str]:
        """All addresses that were asked for, the page's own included."""
        return [event["params"]["request"]["url"] for event in self._events
                if event["method"] == "Network.requestWillBeSent"]

    def pdf(self) -> bytes:
        """The page as it prints."""
        self.call("Emulation.setEmulatedMedia", media="print")
        return base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True)["data"])
