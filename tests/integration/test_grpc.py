"""grpc.aio, the client and the server in one loop.

gRPC has sockets and threads of its own; of the loop it uses add_reader and
call_soon_threadsafe. The services speak bytes, so no .proto is compiled.
"""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import asynccontextmanager

import pytest

from tests.conftest import open_files

grpc = pytest.importorskip('grpc')
pytest.importorskip('grpc.aio')

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def its_own_threads_are_done():
    """gRPC closes files in threads of its own, a little after the test."""
    before = open_files()
    yield
    gc.collect()
    deadline = time.monotonic() + 10.0
    while open_files() != before and time.monotonic() < deadline:
        time.sleep(0.005)


PIECE = bytes(range(256)) * 256
COUNT = 100


class Service:
    def __init__(self):
        self.gone = asyncio.Event()  # the client of never() went away

    async def upper(self, request, context):
        return request.upper()

    async def count(self, request, context):
        for number in range(int(request)):
            yield b'%d' % number

    async def total(self, requests, context):
        size = 0
        async for piece in requests:
            size += len(piece)
        return b'%d' % size

    async def talk(self, requests, context):
        async for piece in requests:
            yield piece.upper()

    async def refuse(self, request, context):
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, 'not you')

    async def never(self, request, context):
        try:
            yield b'begun'
            await asyncio.get_running_loop().create_future()
        finally:
            self.gone.set()

    def handlers(self):
        methods = {
            'upper': grpc.unary_unary_rpc_method_handler(self.upper),
            'count': grpc.unary_stream_rpc_method_handler(self.count),
            'total': grpc.stream_unary_rpc_method_handler(self.total),
            'talk': grpc.stream_stream_rpc_method_handler(self.talk),
            'refuse': grpc.unary_unary_rpc_method_handler(self.refuse),
            'never': grpc.unary_stream_rpc_method_handler(self.never),
        }
        return grpc.method_handlers_generic_handler('Test', methods)


@asynccontextmanager
async def serving(service):
    """Serves on a free port; HOST:PORT."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([service.handlers()])
    port = server.add_insecure_port('127.0.0.1:0')
    await server.start()
    try:
        yield f'127.0.0.1:{port}'
    finally:
        await server.stop(grace=None)


@pytest.fixture
def connected(run):
    """Runs test(channel, service) in the loop, with a server in it."""

    async def main(test):
        service = Service()
        options = [('grpc.enable_http_proxy', 0)]
        async with serving(service) as address:
            async with grpc.aio.insecure_channel(address, options) as channel:
                await test(channel, service)

    return lambda test: run(main(test), transports=False)


async def produce():
    for _ in range(COUNT):
        yield PIECE


def test_a_call_is_answered(connected):
    async def test(channel, service):
        assert await channel.unary_unary('/Test/upper')(b'abc') == b'ABC'

    connected(test)


def test_many_calls_at_once(connected):
    async def test(channel, service):
        call = channel.unary_unary('/Test/upper')

        answers = await asyncio.gather(
            *(call(b'a%d' % number) for number in range(500))
        )

        assert answers == [b'A%d' % number for number in range(500)]

    connected(test)


def test_a_stream_of_answers(connected):
    async def test(channel, service):
        call = channel.unary_stream('/Test/count')(b'1000')

        answers = [int(answer) async for answer in call]

        assert answers == list(range(1000))

    connected(test)


def test_a_stream_of_requests(connected):
    async def test(channel, service):
        total = await channel.stream_unary('/Test/total')(produce())

        assert int(total) == len(PIECE) * COUNT

    connected(test)


def test_streams_both_ways_at_once(connected):
    async def test(channel, service):
        call = channel.stream_stream('/Test/talk')(produce())

        answers = [answer async for answer in call]

        assert answers == [PIECE.upper()] * COUNT

    connected(test)


def test_an_answer_is_read_before_the_next_request_is_written(connected):
    async def test(channel, service):
        call = channel.stream_stream('/Test/talk')()
        for number in range(100):
            await call.write(b'a%d' % number)
            assert await call.read() == b'A%d' % number
        await call.done_writing()

        assert await call.read() is grpc.aio.EOF

    connected(test)


def test_a_refusal_is_an_error_with_its_status(connected):
    async def test(channel, service):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary('/Test/refuse')(b'')

        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert caught.value.details() == 'not you'

    connected(test)


def test_a_cancelled_call_ends_on_the_server(connected):
    async def test(channel, service):
        call = channel.unary_stream('/Test/never')(b'')
        assert await call.read() == b'begun'

        call.cancel()

        with pytest.raises(asyncio.CancelledError):
            await call.read()
        await service.gone.wait()

    connected(test)


def test_a_deadline_ends_the_call_and_not_the_channel(connected):
    async def test(channel, service):
        call = channel.unary_stream('/Test/never')(b'', timeout=0.3)

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in call:
                pass

        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await service.gone.wait()
        assert await channel.unary_unary('/Test/upper')(b'abc') == b'ABC'

    connected(test)


def test_nobody_there_is_an_error(run):
    async def main():
        # Port 1 (tcpmux) is nobody's.
        async with grpc.aio.insecure_channel('127.0.0.1:1') as channel:
            with pytest.raises(grpc.aio.AioRpcError, match='UNAVAILABLE'):
                await channel.unary_unary('/Test/upper')(b'')

    run(main(), transports=False)
