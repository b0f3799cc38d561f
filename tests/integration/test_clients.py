"""aiohttp's and httpx's clients on our loop, against aiohttp's server."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager

import pytest

aiohttp = pytest.importorskip('aiohttp')
httpx = pytest.importorskip('httpx')

from tests.integration.aiohttp_app import (  # noqa: E402
    ASKED,
    GONE,
    PIECE,
    make_app,
    serving,
)

COUNT = 100  # pieces of 64 KiB: more than all buffers on the way hold
LIMIT = 20  # connections of a client


class Aiohttp:
    errors = aiohttp.ClientError
    timeouts = TimeoutError

    @classmethod
    @asynccontextmanager
    async def open(cls, tls):
        connector = aiohttp.TCPConnector(ssl=tls or True, limit=LIMIT)
        async with aiohttp.ClientSession(connector=connector) as session:
            yield cls(session)

    def __init__(self, session):
        self.session = session

    async def get(self, url, timeout=10.0):
        limit = aiohttp.ClientTimeout(timeout)
        async with self.session.get(url, timeout=limit) as response:
            return response.status, await response.read()

    async def post(self, url, data):
        async with self.session.post(url, data=data) as response:
            return response.status, await response.read()

    async def post_stream(self, url, data):
        async with self.session.post(url, data=data) as response:
            async for piece in response.content.iter_any():
                yield piece


class Httpx:
    errors = httpx.TransportError
    timeouts = httpx.TimeoutException

    @classmethod
    @asynccontextmanager
    async def open(cls, tls):
        limits = httpx.Limits(max_connections=LIMIT)
        async with httpx.AsyncClient(
            verify=tls or False, limits=limits, timeout=60, trust_env=False
        ) as client:
            yield cls(client)

    def __init__(self, client):
        self.client = client

    async def get(self, url, timeout=10.0):
        response = await self.client.get(url, timeout=timeout)
        return response.status_code, response.content

    async def post(self, url, data):
        response = await self.client.post(url, content=data)
        return response.status_code, response.content

    async def post_stream(self, url, data):
        async with self.client.stream('POST', url, content=data) as response:
            async for piece in response.aiter_raw():
                yield piece


class Place:
    """A client, the URL of a server, and the server's app."""

    def __init__(self, client, url, app):
        self.client = client
        self.url = url
        self.app = app


@pytest.fixture(params=['http', 'https'])
def tls(request):
    """The server's and the client's SSLContext, or None twice."""
    if request.param == 'http':
        return None, None
    return tuple(
        request.getfixturevalue(name) for name in ('server_tls', 'client_tls')
    )


@pytest.fixture(params=[Aiohttp, Httpx])
def at_place(request, run, tls):
    """Runs test(place) in the loop, with a server and a client in it."""

    async def main(test):
        app = make_app()
        async with serving(app, tls[0]) as url:
            async with request.param.open(tls[1]) as client:
                await test(Place(client, url, app))

    return lambda test: run(main(test))


async def produce():
    for _ in range(COUNT):
        yield PIECE


def test_get_and_post(at_place):
    async def test(place):
        body = PIECE * 8

        assert await place.client.get(place.url) == (200, b'x' * 1024)
        assert await place.client.post(f'{place.url}/echo', b'') == (200, b'')
        assert await place.client.post(f'{place.url}/echo', body) == (
            200,
            body,
        )

    at_place(test)


def test_a_missing_page_is_a_404(at_place):
    async def test(place):
        status, _ = await place.client.get(f'{place.url}/missing')

        assert status == 404

    at_place(test)


def test_an_upload_in_pieces_arrives(at_place):
    async def test(place):
        status, body = await place.client.post(f'{place.url}/echo', produce())

        assert status == 200
        assert body == PIECE * COUNT

    at_place(test)


def test_streams_both_ways_at_once(at_place):
    async def test(place):
        pieces = place.client.post_stream(f'{place.url}/stream', produce())

        assert b''.join([piece async for piece in pieces]) == PIECE * COUNT

    at_place(test)


def test_requests_share_a_connection(at_place):
    async def test(place):
        peers = [await place.client.get(f'{place.url}/peer') for _ in range(5)]

        assert len(set(peers)) == 1

    at_place(test)


def test_many_at_once(at_place):
    async def test(place):
        answers = await asyncio.gather(
            *(
                place.client.post(f'{place.url}/echo', b'%d' % n * 1000)
                for n in range(100)
            )
        )

        assert answers == [(200, b'%d' % n * 1000) for n in range(100)]

    at_place(test)


def test_a_timeout_ends_the_connection_and_not_the_client(at_place):
    async def test(place):
        with pytest.raises(place.client.timeouts):
            await place.client.get(f'{place.url}/never', timeout=0.2)
        await place.app[GONE].wait()

        assert (await place.client.get(place.url))[0] == 200

    at_place(test)


def test_a_cancelled_request_ends_the_connection(at_place):
    async def test(place):
        task = asyncio.ensure_future(place.client.get(f'{place.url}/never'))
        await place.app[ASKED].wait()

        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task
        await place.app[GONE].wait()
        assert (await place.client.get(place.url))[0] == 200

    at_place(test)


def test_a_body_that_breaks_off_is_an_error(at_place):
    async def test(place):
        with pytest.raises(place.client.errors):
            await place.client.get(f'{place.url}/broken')

        assert (await place.client.get(place.url))[0] == 200

    at_place(test)


def test_nobody_there_is_an_error(at_place):
    async def test(place):
        # 127.0.0.2: the port is free there.
        url = place.url.replace('127.0.0.1', '127.0.0.2')

        with pytest.raises(place.client.errors):
            await place.client.get(url)

        assert (await place.client.get(place.url))[0] == 200

    at_place(test)


def test_an_unknown_certificate_is_refused(run, server_tls):
    async def main():
        async with serving(make_app(), server_tls) as url:
            for kind in (Aiohttp, Httpx):
                context = ssl.create_default_context()
                async with kind.open(context) as client:
                    with pytest.raises(kind.errors, match='CERTIFICATE'):
                        await client.get(url)

    run(main())
