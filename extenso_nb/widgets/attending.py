"""A client that is watched: whether the gateway answers, and a word to the user when it takes long."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any

from extenso_nb.errors import ExtensoError, GatewayError
from extenso_nb.widgets.runner import KEY
from extenso_nb.widgets.state import ExplorerState

__all__ = ["SLOW", "Attended", "Attention"]

SLOW = 5.0
"""Seconds without an answer after which the message line says who is waited for."""


class Attention:
    """Says in the message line that an answer is awaited for long, and takes it back. For one loop."""

    def __init__(self, state: ExplorerState) -> None:
        self._state = state
        self._waits: dict[object, tuple[str, str]] = {}
        self._said: dict[str, str] | None = None
        self._before: dict[str, str] = {}

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        """Within it an answer is awaited; `what` for: "search", say."""
        token, key = object(), KEY.get()
        alarm = asyncio.get_running_loop().call_later(SLOW, self._begin, token, what, key)
        try:
            yield
        finally:
            alarm.cancel()
            if self._waits.pop(token, None) is not None:
                self._show()

    def _begin(self, token: object, what: str, key: str) -> None:
        self._waits[token] = (what, key)
        self._show()

    def _show(self) -> None:
        state = self._state
        with state.lock:
            ours = self._said is not None and state.message == self._said
            if not self._waits:
                if ours:
                    state.message = self._before
                self._said = None
                return
            if not ours:
                self._before = dict(state.message)
            what, key = next(reversed(self._waits.values()))
            # Following goes on whatever the user does: to stop it would be to be told nothing more.
            stop = "" if key.startswith("follow ") else key
            where = state.gateway or "the gateway"
            title = f"Still waiting for {where} to answer: {what}."
            detail = f"There is no answer since {SLOW:g} seconds; it is waited for."
            state.say("warning", title, detail, "Cancel stops the waiting." if stop else "", stop=stop)
            self._said = dict(state.message)


class Attended:
    """The verbs of a client; `state.reached` says whether the last one was answered."""

    def __init__(self, client: Any, state: ExplorerState, attention: Attention) -> None:
        self._client, self._state, self._attention = client, state, attention

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._client, name)
        if not callable(verb) or name == "aclose":
            return verb

        def watched(*arguments: Any, **named: Any) -> Any:
            answer = verb(*arguments, **named)
            return self._answered(name, answer) if inspect.isawaitable(answer) else answer

        return watched

    async def _answered(self, name: str, answer: Awaitable[Any]) -> Any:
        try:
            with self._attention.on(_WORDS.get(name, name.replace("_", " "))):
                found = await answer
        except ExtensoError as error:
            if isinstance(error, GatewayError) and error.status is None:
                self._mark("not reached")
            elif error.status is not None:
                self._mark("connected")
            raise
        self._mark("connected")
        return found

    def _mark(self, reached: str) -> None:
        if self._state.reached != reached:
            self._state.update(reached=reached)


_WORDS = {"search_page": "search", "me": "the account", "status": "news of an order", "deliveries": "news of an order"}
