"""From a request to its answer: call the app, write what it returns.

Responder answers one request at a time, which is all it takes to keep
pipelined responses in order. It knows no parser, and of the connection only
what Owner says.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Protocol

from .request import Request
from .response import CONTINUE, Buffers, HttpError, Response

Answer = Response | Awaitable[Response]
App = Callable[[Request], Answer]

log = logging.getLogger(__name__)

# asyncio's writelines() forgets to call pause_writing() there.
JOINS = (3, 12) <= sys.version_info < (3, 13, 2)


class Owner(Protocol):
    def is_last(self, request: Request) -> bool:
        """Whether the connection ends with this response."""

    def on_answered(self, request: Request) -> None:
        """The response is written; request.keep_alive says what follows."""

    def on_answered_later(self) -> None:
        """The same, out of a task: nobody is waiting for us to return."""


class Responder:
    def __init__(
        self, app: App, owner: Owner, transport: asyncio.Transport
    ) -> None:
        self.current: Request | None = None
        self._app = app
        self._owner = owner
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._head_sent = False
        self._task: asyncio.Task[None] | None = None
        self._blocked: asyncio.Future[None] | None = None

    @property
    def is_free(self) -> bool:
        """Ready for the next request: no answer is being made, and the client
        takes in what was written before."""
        return self.current is None and self._blocked is None

    @property
    def is_blocked(self) -> bool:
        return self._blocked is not None

    def answer(self, request: Request) -> None:
        self.current = request
        self._head_sent = False
        try:
            if request.refusal is not None:
                raise request.refusal
            answer = self._app(request)
            if not isinstance(answer, Response) or not answer.is_whole:
                self._task = self._loop.create_task(self._run(request, answer))
                return
            self._send(request, answer)  # the fast way: no task, one write
        except Exception as error:
            self._send(request, _response_to(error))
        self._done(request)

    def send_continue(self) -> None:
        """The app wants the body: if the client waits for that, say it."""
        request = self.current
        if request is not None and request.expects_continue:
            request.expects_continue = False
            if not request.body.received and not self._head_sent:
                self._transport.write(CONTINUE)

    def block(self) -> None:
        self._blocked = self._loop.create_future()

    def unblock(self) -> None:
        blocked, self._blocked = self._blocked, None
        if blocked is not None and not blocked.done():
            blocked.set_result(None)

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self, request: Request, answer: Answer) -> None:
        try:
            response = answer if isinstance(answer, Response) else await answer
            if response.is_whole or not response.has_body(request.method):
                self._send(request, response)
            else:
                await self._stream(request, response)
        except Exception as error:
            response = _response_to(error)
            if self._head_sent:  # too late to say so: the body breaks off
                request.keep_alive = False
            else:
                self._send(request, response)
        self._task = None
        self._done(request)
        self._owner.on_answered_later()

    def _send(self, request: Request, response: Response) -> None:
        close = self._is_last(request, response)
        if response.has_body(request.method):
            self._write(response.whole(close=close, http10=request.http10))
        else:
            self._write([response.head(close=close, http10=request.http10)])

    def _write(self, buffers: Buffers) -> None:
        self._head_sent = True
        if len(buffers) == 1 or JOINS:
            self._transport.write(b''.join(buffers))
        else:
            self._transport.writelines(buffers)

    async def _stream(self, request: Request, response: Response) -> None:
        frames = response.frames(http10=request.http10)
        async with aclosing(frames):
            # The first frame before the head: if it is made of the request's
            # body then 100 Continue must go out before 200 OK.
            first: Buffers = await anext(frames, [])
            close = self._is_last(request, response)
            head = response.head(close=close, http10=request.http10)
            self._write([head, *first])
            async for frame in frames:
                # At least one turn of the loop between two frames: the others
                # have theirs, and we learn of it if this client is gone.
                await (self._blocked or asyncio.sleep(0))
                self._write(frame)

    def _is_last(self, request: Request, response: Response) -> bool:
        """Whether the connection ends with it; request.keep_alive says so."""
        if response.length is None and request.http10:
            request.keep_alive = False  # the body ends with the connection
        if request.keep_alive and self._owner.is_last(request):
            request.keep_alive = False
        return not request.keep_alive

    def _done(self, request: Request) -> None:
        self.current = None
        request.body.abandon()
        self._owner.on_answered(request)


def _response_to(error: Exception) -> Response:
    if isinstance(error, HttpError):
        return error.response()
    log.error('the app failed', exc_info=error)
    return HttpError(500, 'the server has a bug').response()
