"""What the server serves: an app is a function from a Request to a Response.

A plain function is called at once: the fast way. One that has to wait is
`async def` and gets a task of its own.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from functools import lru_cache

from .request import Request
from .response import HttpError, Response

BINARY = 'application/octet-stream'
BLOCK = bytes(range(256)) * 1024  # 256 KiB of all the bytes
MAX_BYTES = 64 * 1024 * 1024

INDEX = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>httptools-uv: the example server</title>
<style>body { font: 16px/1.5 system-ui; max-width: 40em; margin: 4em auto }
code { background: #8882; padding: 0 .2em }</style>
<h1>It works</h1>
<p>This is the example server of <b>httptools-uv</b>: an HTTP/1.1 server in a
few short files of Python, on the <code>httptools</code> parser. It is there to
be read and copied: see <code>examples/server</code>.
<ul>
<li><a href="/bytes/1024"><code>GET /bytes/N</code></a>: N bytes
<li><code>POST /echo</code>: what you send, while you send it
<li><a href="/headers"><code>GET /headers</code></a>: how we read your request
</ul>
</html>
"""


def index(request: Request) -> Response:
    return Response(INDEX, content_type='text/html; charset=utf-8')


def some_bytes(request: Request) -> Response:
    """N bytes; from 256 KiB on in pieces, so that a client that does not read
    costs us one piece and not N bytes."""
    size = _size_in(request.path)
    if size <= len(BLOCK):
        return _block(size)
    return Response(_blocks(size), 200, BINARY, length=size)


# What is asked for over and over is kept, as a server of files would keep it.


@lru_cache(maxsize=256)
def _size_in(path: str) -> int:
    digits = path.removeprefix('/bytes/')
    if not (digits.isascii() and digits.isdigit()):
        raise HttpError(404, '/bytes/N wants a number')
    if len(digits) > 20 or (size := int(digits)) > MAX_BYTES:
        raise HttpError(400, f'/bytes/N: N may be {MAX_BYTES} at most')
    return size


@lru_cache(maxsize=16)
def _block(size: int) -> Response:
    return Response(BLOCK[:size], 200, BINARY)


async def _blocks(size: int) -> AsyncIterator[bytes]:
    while size > 0:
        yield BLOCK[:size]
        size -= len(BLOCK)


def echo(request: Request) -> Response:
    """The body goes back as it comes, neither direction ahead of the other by
    more than a buffer."""
    return Response(request.body, content_type=BINARY, length=request.length)


def headers(request: Request) -> Response:
    seen = {
        'method': request.method.decode('latin-1'),
        'target': request.target.decode('latin-1'),
        'path': request.path,
        'version': request.version,
        'headers': [
            (name.decode('latin-1'), value.decode('latin-1'))
            for name, value in request.headers
        ],
    }
    body = json.dumps(seen, indent=1).encode() + b'\n'
    return Response(body, content_type='application/json')


Handler = Callable[[Request], Response]


def get(handler: Handler) -> dict[bytes, Handler]:
    """HEAD is a GET whose body the server keeps to itself."""
    return {b'GET': handler, b'HEAD': handler}


ROUTES: dict[str, dict[bytes, Handler]] = {
    '/': get(index),
    '/bytes/': get(some_bytes),  # and all that is below it
    '/echo': {b'POST': echo},
    '/headers': get(headers),
}


def app(request: Request) -> Response:
    path = request.path
    methods = ROUTES.get('/bytes/' if path.startswith('/bytes/') else path)
    if methods is None:
        raise HttpError(404, 'there is nothing here')
    handler = methods.get(request.method)
    if handler is None:
        allow = ', '.join(name.decode() for name in methods)
        raise HttpError(405, f'only {allow}', [('Allow', allow)])
    return handler(request)
