"""A real Chromium without a window, driven through its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SECONDS = 120


class Page:
    """A page, asked synchronously."""

    def __init__(self, socket: Any, loop: asyncio.AbstractEventLoop, connect: Callable[[str], Any]) -> None:
        self._socket, self._loop, self._connect, self._number = socket, loop, connect, 0

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._loop.run_until_complete(asyncio.wait_for(self._ask(method, parameters), SECONDS))

    async def _ask(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            answer = json.loads((await self._socket.receive()).data)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def evaluate(self, script: str) -> Any:
        return self.ask("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def wait(self, script: str) -> Any:
        """Return what a script says once that is true."""
        until = time.monotonic() + SECONDS
        while not (found := self.evaluate(script)):
            assert time.monotonic() < until, f"{script}\n{self.text()}"
            time.sleep(0.3)
        return found

    @contextmanager
    def frame(self) -> Iterator[Page]:
        """Speak with the page's sandboxed frame, which Chromium keeps in a process of its own."""
        socket = self._loop.run_until_complete(asyncio.wait_for(self._connect("iframe"), SECONDS))
        try:
            yield Page(socket, self._loop, self._connect)
        finally:
            self._loop.run_until_complete(socket.close())

    def text(self) -> str:
        return str(self.evaluate("document.body.innerText"))

    def click(self, label: str, *, role: str = "button, [role=menuitem], [role=option], a") -> None:
        """Click, as a mouse does, on the last thing of a role that reads so."""
        find = f"[...document.querySelectorAll({role!r})].filter(e => e.innerText.trim() === {label!r} && e.getClientRects().length).at(-1)"
        self.press_at(find)

    def press_at(self, find: str) -> None:
        """Press the mouse in the middle of an element, once it is there."""
        self.wait(f"!!{find}")
        middle = (
            f"(() => {{ const r = {find}.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] }})()"
        )
        box, before = self.evaluate(middle), None
        while box != before:  # what is still moving would be missed
            time.sleep(0.5)
            box, before = self.evaluate(middle), box
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def screenshot(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot")["data"]))


@contextmanager
def page(url: str, *, user: str, password: str) -> Iterator[Page]:
    """Open a page as a user of the server."""
    import aiohttp

    assert CHROMIUM is not None
    profile = Path(tempfile.mkdtemp(prefix="chromium-"))
    process = subprocess.Popen(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-port=0",
         "--window-size=1400,1000", f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    loop = asyncio.new_event_loop()
    try:
        until = time.monotonic() + SECONDS
        while not (port := profile / "DevToolsActivePort").exists() or not port.read_text().strip():
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.2)
        number = port.read_text().splitlines()[0]

        async def begin() -> aiohttp.ClientSession:
            return aiohttp.ClientSession()

        async def connect(kind: str) -> Any:
            while True:
                async with session.get(f"http://127.0.0.1:{number}/json") as answer:
                    for one in await answer.json(content_type=None):
                        if one["type"] == kind:
                            return await session.ws_connect(one["webSocketDebuggerUrl"], max_msg_size=0)
                await asyncio.sleep(0.3)

        session = loop.run_until_complete(begin())
        try:
            socket = loop.run_until_complete(asyncio.wait_for(connect("page"), SECONDS))
            opened = Page(socket, loop, connect)
            token = base64.b64encode(f"{user}:{password}".encode()).decode()
            opened.ask("Network.enable")
            opened.ask("Network.setExtraHTTPHeaders", headers={"Authorization": f"Basic {token}"})
            opened.ask("Page.enable")
            opened.ask("Page.navigate", url=url)
            yield opened
        finally:
            loop.run_until_complete(session.close())
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        loop.close()
        shutil.rmtree(profile, ignore_errors=True)
