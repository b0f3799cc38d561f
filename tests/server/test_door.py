"""The bytes go to the parser; what it found is seen to when a read is done."""

from __future__ import annotations

import asyncio
import importlib
import time

import pytest

from httptools import HttpRequestParser

protocol = importlib.import_module('examples.server.protocol')
limits = importlib.import_module('examples.server.limits')
response = importlib.import_module('examples.server.response')

GET = b'GET / HTTP/1.1\r\nHost: x\r\n\r\n'
POST = b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n'


class Written(asyncio.Transport):
    """Counts the writes, and knows whether it is to be read from."""

    def __init__(self) -> None:
        self.writes = 0
        self.reading = True

    def writelines(self, buffers) -> None:
        self.writes += 1

    def write(self, data) -> None:
        self.writes += 1

    def write_eof(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.reading = False


@pytest.fixture
def run(loop_factory):
    """Runs test(connection, transport) in a loop."""

    async def made(test, options) -> None:
        service = protocol.Service(
            lambda request: response.Response(b'x'), limits.Limits(**options)
        )
        connection, transport = protocol.Connection(service), Written()
        connection.connection_made(transport)
        await test(connection, transport)
        if service.connections:
            connection.connection_lost(None)

    def run(test, **options: float) -> None:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(made(test, options))

    return run


def test_data_received_is_the_parsers_feed_data(run):
    async def test(connection, transport):
        assert isinstance(connection.data_received.__self__, HttpRequestParser)

    run(test)


def test_what_one_read_brings_is_answered_in_the_next_turn(run):
    async def test(connection, transport):
        connection.data_received(GET * 3)
        assert transport.writes == 0

        await asyncio.sleep(0)

        assert transport.writes == 3

    run(test)


def test_a_head_in_two_reads_is_answered(run):
    async def test(connection, transport):
        connection.data_received(GET[:9])
        await asyncio.sleep(0)
        connection.data_received(GET[9:])
        await asyncio.sleep(0)

        assert transport.writes == 1

    run(test)


def test_requests_of_a_connection_that_was_lost_are_not_answered(run):
    async def test(connection, transport):
        connection.data_received(GET)
        connection.connection_lost(None)

        await asyncio.sleep(0)

        assert transport.writes == 0

    run(test)


@pytest.mark.parametrize(
    'data', [GET * 2, POST + b'x' * 9], ids=['requests', 'body']
)
def test_what_is_too_much_stops_the_reading_at_once(run, data):
    async def test(connection, transport):
        connection.data_received(data)

        assert not transport.reading

    run(test, pipelined=2, buffer_bytes=9)


def test_nothing_is_kept_of_what_follows_the_last_request(run):
    async def test(connection, transport):
        connection.data_received(b'rubbish\r\n\r\n')

        assert connection.data_received is protocol.discard

    run(test)


def test_a_request_that_comes_with_the_deadline_is_answered(loop_factory):
    async def late() -> bytes:
        service = protocol.Service(
            lambda request: response.Response(b'in time'),
            limits.Limits(idle_seconds=0.1),
        )
        server = await asyncio.get_running_loop().create_server(
            lambda: protocol.Connection(service), '127.0.0.1', 0
        )
        address = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(*address)
        while not service.connections:
            await asyncio.sleep(0)
        writer.write(GET)
        time.sleep(0.2)  # the loop finds both at once
        said = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        server.close()
        await service.empty.wait()
        return said

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(late()).endswith(b'in time')
