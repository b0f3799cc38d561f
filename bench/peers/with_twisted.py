"""Echo by a twisted protocol, and HTTP by twisted.web. serve.py with_twisted
echo|http"""

from __future__ import annotations

import socket
from typing import Any

import twisted
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.web.resource import Resource
from twisted.web.server import Site

from __main__ import body_of


class Echo(Protocol):
    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class Bytes(Resource):
    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        body = body_of(request.path)
        if body is None:
            request.setResponseCode(404)
        request.setHeader(b'content-type', b'application/octet-stream')
        request.setHeader(b'content-length', b'%d' % len(body or b''))
        return body or b''


def serve(listener: socket.socket, tell: Any, kind: str) -> None:
    factory = Factory.forProtocol(Echo) if kind == 'echo' else Site(Bytes())
    listener.setblocking(False)
    reactor.adoptStreamPort(listener.fileno(), listener.family, factory)
    listener.close()
    name = f'{type(reactor).__module__}.{type(reactor).__qualname__}'
    reactor.callWhenRunning(tell, twisted, twisted.__version__, name)
    reactor.run()
