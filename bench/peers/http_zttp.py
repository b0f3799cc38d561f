"""HTTP by zttp, on a loop of asyncio's interface: serve.py http_zttp LOOP."""

from __future__ import annotations

import asyncio
import socket
from importlib.metadata import version
from typing import Any, cast

import zttp

from __main__ import body_of, serve_protocol

TYPE = (b'Content-Type', b'application/octet-stream')


class Http(asyncio.Protocol):
    # Not of asyncio's class on every loop.
    transport: asyncio.Transport

    def __init__(self) -> None:
        self.connection = zttp.Connection(zttp.SERVER)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        connection = self.connection
        try:
            event = connection.receive_event(data)
            while event is not zttp.NEED_DATA:
                self.handle(event)
                if event is zttp.CONNECTION_CLOSED:
                    break
                event = connection.next_event()
        except zttp.RemoteProtocolError:
            self.transport.close()
        else:
            if answers := connection.data_to_send():
                self.transport.write(answers)
            if connection.should_close():
                self.transport.close()

    def handle(self, event: Any) -> None:
        if isinstance(event, zttp.Request):
            self.target = event.target
            # Header fields are made when they are looked at, as elsewhere.
            self.headers = list(event.headers)
            if event.end_stream:
                self.answer()
        elif isinstance(event, zttp.EndOfMessage):
            self.answer()

    def answer(self) -> None:
        connection = self.connection
        body = body_of(self.target)
        length = b'%d' % len(body or b'')
        connection.send_response(
            200 if body is not None else 404,
            [TYPE, (b'Content-Length', length)],
        )
        if body:
            connection.send_data(body)
        connection.end_message()
        if not connection.should_close():
            connection.start_next_cycle()


def serve(listener: socket.socket, tell: Any, name: str) -> None:
    serve_protocol(listener, tell, name, Http, zttp, version('zttp'))
