"""An application for uvicorn, which also says what it runs on."""

from __future__ import annotations

import asyncio

from starlette.applications import Starlette
from starlette.responses import (
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route, WebSocketRoute

import httptools

PIECE = bytes(range(256)) * 256


async def index(request):
    return PlainTextResponse('x' * 1024)


async def about(request):
    return JSONResponse(
        {
            'parser': httptools._http.__file__,
            'loop': type(asyncio.get_running_loop()).__module__,
        }
    )


async def echo(request):
    return Response(await request.body())


async def pieces(request):
    """64 pieces of 64 KiB."""

    async def produce():
        for _ in range(64):
            yield PIECE

    return StreamingResponse(produce())


async def talk(websocket):
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text.upper())


app = Starlette(
    routes=[
        Route('/', index),
        Route('/about', about),
        Route('/echo', echo, methods=['POST']),
        Route('/pieces', pieces),
        WebSocketRoute('/talk', talk),
    ]
)
