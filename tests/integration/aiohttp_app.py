"""aiohttp's web server: the application, and serving it.

As a program it takes the name of a loop: python aiohttp_app.py uvloop_core
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager

from aiohttp import WSMsgType, web

import uvloop_core

ASKED = web.AppKey('ASKED', asyncio.Event)  # for /never
GONE = web.AppKey('GONE', asyncio.Event)  # the client of /never went away
PIECE = bytes(range(256)) * 256


async def index(request):
    return web.Response(text='x' * 1024)


async def loop_of(request):
    return web.Response(text=type(asyncio.get_running_loop()).__module__)


async def peer(request):
    """Who asks: the same connection has the same answer."""
    return web.json_response(request.transport.get_extra_info('peername'))


async def echo(request):
    return web.Response(body=await request.read())


async def stream(request):
    """Back as it comes."""
    response = web.StreamResponse()
    await response.prepare(request)
    async for piece in request.content.iter_any():
        await response.write(piece)
    return response


async def pieces(request):
    """So many pieces of 64 KiB."""
    response = web.StreamResponse()
    try:
        await response.prepare(request)
        for _ in range(int(request.match_info['count'])):
            await response.write(PIECE)
    except ConnectionResetError:
        pass  # the client has had enough
    return response


async def never(request):
    request.app[ASKED].set()
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        request.app[GONE].set()


async def broken(request):
    """Half of what was promised."""
    response = web.StreamResponse(headers={'Content-Length': '1000'})
    await response.prepare(request)
    await response.write(b'x' * 500)
    request.transport.abort()
    return response


async def talk(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        assert message.type is WSMsgType.TEXT
        await socket.send_str(message.data.upper())
    return socket


def make_app():
    app = web.Application(client_max_size=2**26)
    app[ASKED] = asyncio.Event()
    app[GONE] = asyncio.Event()
    app.add_routes(
        [
            web.get('/', index),
            web.get('/loop', loop_of),
            web.get('/peer', peer),
            web.post('/echo', echo),
            web.post('/stream', stream),
            web.get('/pieces/{count}', pieces),
            web.get('/never', never),
            web.get('/broken', broken),
            web.get('/talk', talk),
        ]
    )
    return app


@asynccontextmanager
async def serving(app, ssl_context=None):
    """Serves on a free port; the URL."""
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, '127.0.0.1', 0, ssl_context=ssl_context)
        await site.start()
        scheme = 'https' if ssl_context else 'http'
        yield f'{scheme}://127.0.0.1:{runner.addresses[0][1]}'
    finally:
        await runner.cleanup()


async def main():
    # run_app() would make its own loop: this is what it does on one.
    async with serving(make_app()) as url:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(15, stop.set)
        print(url, flush=True)
        await stop.wait()


if __name__ == '__main__':
    {'uvloop_core': uvloop_core.run, 'asyncio': asyncio.run}[sys.argv[1]](
        main()
    )
