"""What a client may cost us: bytes, counts and seconds, and the one timer.

Every field of Limits is also an option of the command line (--head-bytes and
so on); what happens when one is exceeded stands beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    head_bytes: int = 32 * KIB  # request line and headers; trailers too: 431
    headers: int = 100  # how many of them: 431
    body_bytes: int = 128 * MIB  # 413
    buffer_bytes: int = 256 * KIB  # body the app has not read: stop reading
    pipelined: int = 64  # requests waiting for their turn: stop reading

    idle_seconds: float = 60.0  # between two requests: close
    head_seconds: float = 10.0  # from a head's first byte to its last: 408
    body_seconds: float = 30.0  # between two pieces of a body: 408
    write_seconds: float = 60.0  # while the client reads nothing: abort

    # Shutdown. A request may be on its way to a connection that looks idle:
    # last call is how long we wait for one. Linger is how long we go on
    # reading after our last byte: closing a socket with unread input makes the
    # kernel send a reset, which may overtake the response.
    last_call_seconds: float = 0.25
    linger_seconds: float = 1.0
    grace_seconds: float = 30.0  # for everything together, then abort


class Deadline:
    """One lazy timer for all the deadlines of a connection.

    A deadline moves with every request, nearly always to a later time. So
    putting it off only notes the time; the timer, when it fires, sees that it
    is early and sleeps on. A busy connection touches the loop's heap of timers
    once a minute instead of twice a request.
    """

    __slots__ = ('_expired', '_loop', '_now', '_seconds', '_since', '_timer')

    def __init__(
        self, loop: asyncio.AbstractEventLoop, expired: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._now = loop.time
        self._expired = expired
        self._since = 0.0
        self._seconds = inf
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float) -> None:
        """It is so many seconds from now; never, if that is infinite."""
        self._since = self._now()
        self._seconds = seconds
        due = self._since + seconds
        if self._timer is not None and due < self._timer.when():
            self.cancel()
        if self._timer is None and due < inf:
            self._timer = self._loop.call_at(due, self._fire)

    def put_off(self) -> None:
        """As many seconds as before, from now."""
        self._since = self._now()

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        due = self._since + self._seconds
        if due == inf:
            return
        if self._now() < due:
            self._timer = self._loop.call_at(due, self._fire)
        else:
            self._expired()
