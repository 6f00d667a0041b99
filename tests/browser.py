"""Headless Chromium, driven over a pipe: what a page does, sees and requests in a real browser."""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
"""The browser, or None."""

_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run", "--disable-sync")


class Browser:
    """One open tab.

    Args:
        commands: file that the browser reads.
        answers: file that it writes.
    """

    def __init__(self, commands, answers):
        self._commands, self._answers = commands, answers
        self._count = 0
        self.requests = []
        self.complaints = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        """Call a method of the DevTools protocol on the tab."""
        return self._call(method, self._session, **params)

    def _call(self, method, session=None, **params):
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        message |= {"sessionId": session} if session else {}
        self._commands.write(json.dumps(message).encode() + b"\0")
        self._commands.flush()
        while (answer := self._read()).get("id") != self._count:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def _read(self):
        text = bytearray()
        while (byte := self._answers.read(1)) != b"\0":
            assert byte, "the browser ended"
            text += byte
        message = json.loads(text)
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])
        if message.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
            self.complaints.append(message["params"])
        return message

    def open(self, path):
        """Open a file and wait until it is loaded."""
        self.requests.clear()
        self.call("Page.navigate", url=path.as_uri())
        while self._read().get("method") != "Page.loadEventFired":
            pass

    def ask(self, expression):
        """Return the value of a JavaScript expression."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def press(self, key, code=0):
        """Press a key and let it go; `code` is its Windows virtual key code."""
        text = {"text": " "} if key == " " else {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **text)


@contextlib.contextmanager
def browsing():
    """Run Chromium for a while."""
    theirs, commands = os.pipe()
    answers, ours = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        script = f'exec "$0" "$@" 3<&{theirs} 4>&{ours}'
        command = ["bash", "-c", script, CHROMIUM, *_FLAGS, f"--user-data-dir={profile}"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, pass_fds=(theirs, ours), **quiet)
        os.close(theirs)
        os.close(ours)
        with os.fdopen(commands, "wb") as outgoing, os.fdopen(answers, "rb") as incoming:
            try:
                yield Browser(outgoing, incoming)
            finally:
                process.terminate()
                process.wait()
