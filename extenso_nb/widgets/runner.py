"""One daemon thread with an event loop, on which the Explorer's actions run; each can be cancelled by its name."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from contextvars import ContextVar
from typing import Any

__all__ = ["KEY", "Runner"]

KEY: ContextVar[str] = ContextVar("extenso_nb.widgets.runner", default="")
"""Under which key the coroutine that asks was submitted."""


class Runner:
    """Runs coroutines away from the kernel's thread, so that a busy cell stops neither search nor progress.

    The thread starts with the first `submit` and ends with `close`, or with the process.
    """

    def __init__(self, name: str = "extenso-explorer") -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: dict[str, Future[Any]] = {}
        self._closed = False

    def submit(
        self, key: str, make: Callable[[], Coroutine[Any, Any, Any]], *, replace: bool = True
    ) -> Future[Any] | None:
        """Run `make()`; what runs under the same key is cancelled, or with ``replace=False`` kept and None returned.

        Raises RuntimeError after `close`.
        """
        with self._lock:
            running = self._tasks.get(key)
            if running is not None and not running.done():
                if not replace:
                    return None
                running.cancel()
            loop = self._started()
            future = asyncio.run_coroutine_threadsafe(_named(key, make), loop)
            self._tasks[key] = future
        return future

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._closed:
            raise RuntimeError("This Explorer is closed; make a new one.")
        if self._loop is None:
            loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=_forever, args=(loop,), name=self._name, daemon=True)
            self._thread.start()
            self._loop = loop
        return self._loop

    def running(self, key: str) -> bool:
        """Whether a coroutine runs under this key."""
        with self._lock:
            future = self._tasks.get(key)
        return future is not None and not future.done()

    def cancel(self, key: str) -> bool:
        """Cancel what runs under a key. False when nothing does."""
        with self._lock:
            future = self._tasks.get(key)
        return future is not None and future.cancel()

    def join(self, key: str, timeout: float = 30.0) -> Any:
        """Wait for what runs under a key, from another thread; its result, or what it raised. For scripts and tests."""
        with self._lock:
            future = self._tasks.get(key)
        return None if future is None else future.result(timeout)

    def settle(self, timeout: float, *, leave: str) -> bool:
        """Wait, from another thread, until nothing runs but what has a key that begins with `leave`; whether that came.

        What runs may submit more before it is done, and that is waited for as well.
        """
        end = time.monotonic() + timeout
        while True:
            with self._lock:
                left = [
                    future for key, future in self._tasks.items() if not key.startswith(leave) and not future.done()
                ]
            rest = end - time.monotonic()
            if not left or rest <= 0:
                return not left
            wait(left, timeout=rest)

    def close(self, last: Callable[[], Coroutine[Any, Any, Any]] | None = None, *, timeout: float = 5.0) -> None:
        """Cancel everything, run `last` (which closes what belongs to the loop), and end the thread."""
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._thread
            self._loop = None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(_finish(last), loop).add_done_callback(
            lambda _: loop.call_soon_threadsafe(loop.stop)
        )
        if thread is not threading.current_thread():
            thread.join(timeout)


async def _named(key: str, make: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    KEY.set(key)
    return await make()


def _forever(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()


async def _finish(last: Callable[[], Coroutine[Any, Any, Any]] | None) -> None:
    await _cancel_others()
    if last is not None:
        await last()
    await _cancel_others()
    await asyncio.get_running_loop().shutdown_asyncgens()


async def _cancel_others() -> None:
    """Cancel all other tasks of the loop, those too that begin while they are being cancelled: none may outlive it."""
    mine = asyncio.current_task()
    while others := [task for task in asyncio.all_tasks() if task is not mine]:
        for task in others:
            task.cancel()
        await asyncio.wait(others)
