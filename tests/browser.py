"""A headless Chromium of the machine, spoken to over a pipe: opens a page and tells what its console said."""

import json
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from itertools import count

EXECUTABLE = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run")


class Browser:
    """One tab. `told` gathers each violation, error and dialog since the last page was opened."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._numbers, self._rest, self._loaded = count(1), b"", False
        self._profile = tempfile.mkdtemp()
        theirs, self._out = os.pipe()
        self._in, back = os.pipe()

        def hand_over() -> None:  # Chromium reads from 3 and writes to 4
            os.dup2(os.dup(theirs), 13), os.dup2(os.dup(back), 14)
            os.dup2(13, 3), os.dup2(14, 4)

        self._process = subprocess.Popen(
            [EXECUTABLE, *FLAGS, f"--user-data-dir={self._profile}", "--window-size=1280,900", "about:blank"],
            preexec_fn=hand_over,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs), os.close(back)
        self._session = None
        tabs = self.ask("Target.getTargets")["targetInfos"]
        tab = next(one["targetId"] for one in tabs if one["type"] == "page")
        self._session = self.ask("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params):
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def _next(self) -> dict:
        while b"\0" not in self._rest:
            read = os.read(self._in, 1 << 20)
            assert read, "Chromium has ended."
            self._rest += read
        line, _, self._rest = self._rest.partition(b"\0")
        message = json.loads(line)
        self._note(message.get("method"), message.get("params", {}))
        return message

    def _note(self, method: str | None, said: dict) -> None:
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            if not said["entry"].get("url", "").endswith("/favicon.ico"):  # Chromium's own idea
                self.told.append(said["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            details = said["exceptionDetails"]
            self.told.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning"):
            self.told.append(" ".join(str(one.get("value", one.get("description"))) for one in said["args"]))
        elif method == "Page.javascriptDialogOpening":
            self.told.append(f"dialog: {said['message']}")
            number = next(self._numbers)
            answer = {"id": number, "method": "Page.handleJavaScriptDialog", "params": {"accept": True}}
            os.write(self._out, json.dumps(answer | {"sessionId": self._session}).encode() + b"\0")

    def cookie(self, name: str, value: str, url: str) -> None:
        self.ask("Network.setCookie", name=name, value=value, url=url)

    def open(self, url: str) -> list[str]:
        """What was told until the page had loaded and its scripts had come to rest."""
        self.told.clear()
        self._loaded = False
        self.ask("Page.navigate", url=url)
        while not self._loaded:
            self._next()
        self.rest()
        return [*self.told]

    def rest(self) -> None:
        self.run("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)))")

    def run(self, script: str):
        """The value of an expression, awaited."""
        answer = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def close(self) -> None:
        with suppress(AssertionError, OSError):
            self._session = None
            self.ask("Browser.close")
        self._process.wait(20)
        os.close(self._in), os.close(self._out)
        shutil.rmtree(self._profile, ignore_errors=True)
