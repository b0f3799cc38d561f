"""CPython's own tests of event loops, on our loop.

They come with the interpreter, in the package `test`. A module for
runner.py; nothing is collected from it by pytest.
"""

from __future__ import annotations

import asyncio
import unittest
from typing import Any

from test.test_asyncio import test_buffered_proto as buffered
from test.test_asyncio import test_events as events
from test.test_asyncio import test_runners as runners
from test.test_asyncio import test_sendfile as sendfile
from test.test_asyncio import test_server as server
from test.test_asyncio import test_sock_lowlevel as lowlevel
from test.test_asyncio import test_sslproto as sslproto
from test.test_asyncio import test_subprocess as subprocess
from test.test_asyncio import utils

import uvloop_core


class Events(
    events.EventLoopTestsMixin, events.SubprocessTestsMixin, utils.TestCase
):
    def create_event_loop(self) -> asyncio.AbstractEventLoop:
        return uvloop_core.new_event_loop()

    @staticmethod
    def close_loop(loop: Any) -> None:
        loop.close()


class SockLowlevel(lowlevel.BaseSockTestsMixin, utils.TestCase):
    def create_event_loop(self) -> asyncio.AbstractEventLoop:
        return uvloop_core.new_event_loop()

    @staticmethod
    def close_loop(loop: Any) -> None:
        loop.close()


class Sendfile(
    sendfile.SendfileMixin, sendfile.SockSendfileMixin, utils.TestCase
):
    def create_event_loop(self) -> asyncio.AbstractEventLoop:
        return uvloop_core.new_event_loop()

    @staticmethod
    def close_loop(loop: Any) -> None:
        loop.close()


class Subprocess(subprocess.SubprocessMixin, utils.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.loop = uvloop_core.new_event_loop()
        self.set_event_loop(self.loop)

    @staticmethod
    def close_loop(loop: Any) -> None:
        loop.close()


class StartServer(server.BaseStartServer, unittest.TestCase):
    def new_loop(self) -> asyncio.AbstractEventLoop:
        return uvloop_core.new_event_loop()


class BufferedProto(buffered.BaseTestBufferedProtocol, unittest.TestCase):
    def new_loop(self) -> asyncio.AbstractEventLoop:
        return uvloop_core.new_event_loop()


class StartTLS(sslproto.BaseStartTLS, unittest.TestCase):
    def new_loop(self) -> asyncio.AbstractEventLoop:
        return uvloop_core.new_event_loop()


class Runners:
    """Their own loop is asyncio's with the selector mocked away."""

    def new_loop(self) -> asyncio.AbstractEventLoop:
        loop = uvloop_core.new_event_loop()
        shutdown = loop.shutdown_asyncgens
        loop.shutdown_ag_run = False  # type: ignore[attr-defined]

        async def shutdown_asyncgens() -> None:
            loop.shutdown_ag_run = True  # type: ignore[attr-defined]
            await shutdown()

        loop.shutdown_asyncgens = shutdown_asyncgens  # type: ignore[method-assign]
        return loop


class RunTests(Runners, runners.RunTests):
    pass


class RunnerTests(Runners, runners.RunnerTests):
    pass
