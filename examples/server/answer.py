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
    def closes_after(self, request: Request) -> bool:
        """Whether the connection ends with this response. From now on
        request.keep_alive says so, too."""

    def on_last_answer(self) -> None:
        """The response is written with which the connection ends."""

    def on_answered_later(self) -> None:
        """A response is written, out of a task: nobody waits for us."""


class Responder:
    def __init__(
        self, app: App, owner: Owner, transport: asyncio.Transport
    ) -> None:
        self.current: Request | None = None  # a task answers it
        self.blocked: asyncio.Future[None] | None = None  # until the client
        # takes in what was written before.
        self.is_free = True  # for the next request: neither of both is there
        self._app = app
        self._owner = owner
        self._transport = transport
        self._write: Callable[[Buffers], None] = transport.writelines
        if JOINS:
            self._write = lambda buffers: transport.write(b''.join(buffers))
        self._head_sent = False
        self._task: asyncio.Task[None] | None = None

    def answer(self, request: Request) -> None:
        try:
            if request.refusal is not None:
                raise request.refusal
            answer = self._app(request)
            if not isinstance(answer, Response) or not answer.is_whole:
                self._answer_later(request, answer)
                return
            self._send(request, answer)  # the fast way: no task, one write
        except Exception as error:
            self._send(request, _response_to(error))
        if not request.keep_alive or request.length != 0:
            self._done(request)

    def _answer_later(self, request: Request, answer: Answer) -> None:
        self.current = request
        self.is_free = False
        self._head_sent = False
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._run(request, answer))

    def send_continue(self) -> None:
        """The app wants the body: if the client waits for that, say it."""
        request = self.current
        if request is not None and request.expects_continue:
            request.expects_continue = False
            if not request.body.received and not self._head_sent:
                self._transport.write(CONTINUE)

    def block(self) -> None:
        self.blocked = asyncio.get_running_loop().create_future()
        self.is_free = False

    def unblock(self) -> None:
        blocked, self.blocked = self.blocked, None
        self.is_free = self.current is None
        if blocked is not None and not blocked.done():
            blocked.set_result(None)

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self, request: Request, answer: Answer) -> None:
        try:
            response = answer if isinstance(answer, Response) else await answer
            has_body = response.has_body and request.method != b'HEAD'
            if has_body and not response.is_whole:
                await self._stream(request, response)
            else:
                self._send(request, response)
        except Exception as error:
            response = _response_to(error)
            if self._head_sent:  # too late to say so: the body breaks off
                request.keep_alive = False
            else:
                self._send(request, response)
        self.current = self._task = None
        self.is_free = self.blocked is None
        self._done(request)
        self._owner.on_answered_later()

    def _send(self, request: Request, response: Response) -> None:
        close = self._owner.closes_after(request)
        if response.has_body and request.method != b'HEAD':
            self._write(response.whole(close, request.http10))
        else:
            self._write(response.head(close, request.http10))

    async def _stream(self, request: Request, response: Response) -> None:
        frames = response.frames(request.http10)
        async with aclosing(frames):
            # The first frame before the head: if it is made of the request's
            # body then 100 Continue must go out before 200 OK.
            first: Buffers = await anext(frames, [])
            if response.length is None and request.http10:
                request.keep_alive = False  # the connection's end is its end
            close = self._owner.closes_after(request)
            head = response.head(close, request.http10)
            self._head_sent = True
            self._write([*head, *first])
            async for frame in frames:
                # At least one turn of the loop between two frames: the others
                # have theirs, and we learn of it if this client is gone.
                await (self.blocked or asyncio.sleep(0))
                self._write(frame)

    def _done(self, request: Request) -> None:
        if request.length != 0:
            request.body.abandon()
        if not request.keep_alive:
            self._owner.on_last_answer()


def _response_to(error: Exception) -> Response:
    if isinstance(error, HttpError):
        return error.response()
    log.error('the app failed', exc_info=error)
    return HttpError(500, 'the server has a bug').response()
