"""create_server, and the Server that it returns."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import socket
import ssl
import sys
import weakref
from asyncio.trsock import TransportSocket
from typing import ClassVar

import pytest

from uvloop_core import serve

variable = contextvars.ContextVar('variable', default='unset')


class Echo(asyncio.Protocol):
    """Sends back what it gets; the class knows its instances."""

    made: ClassVar[list[Echo]]

    def __init__(self) -> None:
        self.made.append(self)
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)

    def connection_lost(self, error):
        self.lost.set_result(error)


@pytest.fixture
def protocol():
    class Protocol(Echo):
        made: ClassVar[list[Echo]] = []

    return Protocol


@pytest.fixture
def run(loop):
    return loop.run_until_complete


async def echo(loop, address: tuple[str, int]) -> bytes:
    """Connect, send, receive, close."""
    family = socket.AF_INET6 if ':' in address[0] else socket.AF_INET
    with socket.socket(family) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, address)
        await loop.sock_sendall(sock, b'spam')
        return await loop.sock_recv(sock, 10)


@contextlib.asynccontextmanager
async def serving(loop, protocol, *args, **options):
    server = await loop.create_server(protocol, *args, **options)
    try:
        yield server
    finally:
        server.close()
        for each in protocol.made:
            each.transport.close()
            await each.lost


def test_a_server_serves(loop, run, protocol):
    async def main():
        async with serving(loop, protocol, '127.0.0.1', 0) as server:
            return await echo(loop, server.sockets[0].getsockname())

    assert run(main()) == b'spam'


def test_a_server_shows_its_sockets_until_it_is_closed(loop, run, protocol):
    async def main():
        async with serving(loop, protocol, '127.0.0.1', 0) as server:
            (sock,) = server.sockets
            assert isinstance(sock, TransportSocket)
            assert server.is_serving()
            assert server.get_loop() is loop
            assert repr(server).startswith('<Server sockets=(<asyncio.Tran')
        assert server.sockets == ()
        assert sock.fileno() == -1
        assert not server.is_serving()

    run(main())


def test_a_listening_socket_is_taken(loop, run, protocol):
    sock = socket.socket()
    sock.bind(('127.0.0.1', 0))

    async def main():
        async with serving(loop, protocol, sock=sock):
            return await echo(loop, sock.getsockname())

    assert run(main()) == b'spam'


@pytest.mark.parametrize('host', [None, '', ['127.0.0.1', '::1']])
def test_several_addresses_are_listened_on(loop, run, protocol, host):
    async def main():
        async with serving(loop, protocol, host, 0) as server:
            names = [sock.getsockname() for sock in server.sockets]
            assert len(names) == 2
            return [
                await echo(
                    loop, ('::1' if ':' in name[0] else '127.0.0.1', name[1])
                )
                for name in names
            ]

    assert run(main()) == [b'spam', b'spam']


def test_the_same_host_is_bound_to_once(loop, run, protocol):
    async def main():
        hosts = ['127.0.0.1', '127.0.0.1', 'localhost']
        options = {'family': socket.AF_INET}
        async with serving(loop, protocol, hosts, 0, **options) as server:
            return len(server.sockets)

    assert run(main()) == 1


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        ({}, ValueError, 'Neither host/port nor sock were specified'),
        ({'port': 0, 'sock': 1}, ValueError, 'can not be specified at the sa'),
        ({'port': 0, 'ssl': True}, TypeError, 'must be an SSLContext or None'),
        (
            {'port': 0, 'ssl_handshake_timeout': 1},
            ValueError,
            'ssl_handshake_timeout is only meaningful with ssl',
        ),
        (
            {'port': 0, 'ssl_shutdown_timeout': 1},
            ValueError,
            'ssl_shutdown_timeout is only meaningful with ssl',
        ),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    loop, run, options, error, message
):
    with pytest.raises(error, match=message):
        run(loop.create_server(asyncio.Protocol, **options))


def test_only_stream_sockets_are_taken(loop, run):
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        with pytest.raises(
            ValueError, match=r'^A Stream Socket was expected,'
        ):
            run(loop.create_server(asyncio.Protocol, sock=sock))


def test_a_tls_socket_is_not_taken(loop, run):
    context = ssl.create_default_context()
    with (
        socket.socket() as plain,
        context.wrap_socket(plain, server_hostname='a') as sock,
    ):
        with pytest.raises(TypeError, match=r'cannot be of type SSLSocket'):
            run(loop.create_server(asyncio.Protocol, sock=sock))


@pytest.mark.parametrize('backlog', [1.5, '1'])
def test_a_backlog_that_is_no_number_leaves_nothing_open(our_loop, backlog):
    # asyncio leaves the sockets to the garbage collector.
    with pytest.raises(TypeError, match=r'integer'):
        our_loop.run_until_complete(
            our_loop.create_server(
                asyncio.Protocol, '127.0.0.1', 0, backlog=backlog
            )
        )


def test_an_address_in_use_is_told(loop, run):
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        address = sock.getsockname()
        with pytest.raises(OSError) as error:
            run(loop.create_server(asyncio.Protocol, *address))

    told = error.value.strerror
    assert told.startswith(
        f'error while attempting to bind on address {address!r}: '
    )
    assert told.endswith('address already in use')


def test_an_address_that_is_not_ours_is_told(loop, run):
    # From 3.13 on such addresses are passed over, unless all of them are.
    message = (
        'could not bind on any address out of'
        if sys.version_info >= (3, 13)
        else 'error while attempting to bind on address'
    )
    with pytest.raises(OSError, match=message):
        run(loop.create_server(asyncio.Protocol, '192.0.2.1', 0))


def test_reuse_port_lets_two_servers_share_a_port(loop, run, protocol):
    async def main():
        async with serving(
            loop, protocol, '127.0.0.1', 0, reuse_port=True
        ) as first:
            port = first.sockets[0].getsockname()[1]
            async with serving(
                loop, protocol, '127.0.0.1', port, reuse_port=True
            ):
                return await echo(loop, ('127.0.0.1', port))

    assert run(main()) == b'spam'


@pytest.mark.skipif(sys.version_info < (3, 13), reason='new in Python 3.13')
def test_keep_alive_is_set(loop, run, protocol):
    async def main():
        async with serving(
            loop, protocol, '127.0.0.1', 0, keep_alive=True
        ) as server:
            return server.sockets[0].getsockopt(
                socket.SOL_SOCKET, socket.SO_KEEPALIVE
            )

    assert run(main()) == 1


# Serving and closing


def test_a_server_may_start_later(loop, run, protocol):
    async def main():
        async with serving(
            loop, protocol, '127.0.0.1', 0, start_serving=False
        ) as server:
            assert not server.is_serving()
            await server.start_serving()
            await server.start_serving()
            assert server.is_serving()
            return await echo(loop, server.sockets[0].getsockname())

    assert run(main()) == b'spam'


def test_serve_forever_ends_when_it_is_cancelled(loop, run, protocol):
    async def main():
        server = await loop.create_server(
            protocol, '127.0.0.1', 0, start_serving=False
        )
        task = loop.create_task(server.serve_forever())
        await asyncio.sleep(0)
        assert server.is_serving()
        with pytest.raises(RuntimeError, match=r'is already being awaited on'):
            await server.serve_forever()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not server.is_serving()
        with pytest.raises(RuntimeError, match=r'is closed'):
            await server.serve_forever()

    run(main())


@pytest.mark.skipif(
    sys.version_info < (3, 14), reason='waits for the connections, then'
)
def test_serve_forever_closes_its_connections_when_it_is_cancelled(
    loop, run, protocol
):
    async def main():
        server = await loop.create_server(protocol, '127.0.0.1', 0)
        task = loop.create_task(server.serve_forever())
        with socket.create_connection(server.sockets[0].getsockname()):
            while not protocol.made:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(task, 5)

    run(main())


def test_close_ends_serve_forever(loop, run, protocol):
    async def main():
        server = await loop.create_server(protocol, '127.0.0.1', 0)
        task = loop.create_task(server.serve_forever())
        await asyncio.sleep(0)
        server.close()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


def test_async_with_closes_the_server(loop, run, protocol):
    async def main():
        async with await loop.create_server(
            protocol, '127.0.0.1', 0
        ) as server:
            assert server.is_serving()
        assert server.sockets == ()

    run(main())


@pytest.mark.skipif(
    sys.version_info < (3, 12, 1), reason='as it is since Python 3.12.1'
)
def test_wait_closed_waits_for_close_and_for_the_connections(
    loop, run, protocol
):
    async def main():
        server = await loop.create_server(protocol, '127.0.0.1', 0)
        waiting = loop.create_task(server.wait_closed())
        _, writer = await asyncio.open_connection(
            *server.sockets[0].getsockname()
        )
        await asyncio.sleep(0.01)
        states = [waiting.done()]
        server.close()
        await asyncio.sleep(0.01)
        states.append(waiting.done())
        writer.close()
        await asyncio.wait_for(waiting, 5)
        await server.wait_closed()
        assert server._waiters is None
        return states

    assert run(main()) == [False, False]


@pytest.mark.skipif(sys.version_info < (3, 13), reason='new in Python 3.13')
@pytest.mark.parametrize('method', ['close_clients', 'abort_clients'])
def test_a_server_ends_its_connections(loop, run, protocol, method):
    async def main():
        server = await loop.create_server(protocol, '127.0.0.1', 0)
        reader, writer = await asyncio.open_connection(
            *server.sockets[0].getsockname()
        )
        await asyncio.sleep(0.01)
        server.close()
        getattr(server, method)()
        await asyncio.wait_for(server.wait_closed(), 5)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b''
        writer.close()

    run(main())


def test_the_loop_keeps_a_serving_server(loop, run, protocol):
    async def main():
        server = await loop.create_server(protocol, '127.0.0.1', 0)
        address = server.sockets[0].getsockname()
        ref = weakref.ref(server)
        del server
        gc.collect()
        assert await echo(loop, address) == b'spam'
        ref().close()
        await protocol.made[0].lost
        await asyncio.sleep(0.01)
        gc.collect()
        return ref()

    assert run(main()) is None


def test_connections_run_in_the_context_of_the_call(loop, run):
    seen = []

    class Looks(asyncio.Protocol):
        def connection_made(self, transport):
            seen.append(variable.get())
            transport.close()

        def connection_lost(self, error):
            seen.append(variable.get())

    def factory():
        seen.append(variable.get())
        return Looks()

    async def main():
        variable.set('inner')
        server = await loop.create_server(factory, '127.0.0.1', 0)
        variable.set('later')
        reader, writer = await asyncio.open_connection(
            *server.sockets[0].getsockname()
        )
        await reader.read()
        writer.close()
        server.close()
        await server.wait_closed()

    run(main())

    assert seen == ['inner'] * 3


def test_debug_mode_logs_that_it_serves(loop, run, protocol, caplog):
    caplog.set_level('INFO', 'asyncio')
    loop.set_debug(True)

    async def main():
        async with serving(loop, protocol, '127.0.0.1', 0):
            pass

    run(main())

    assert any(
        record.getMessage().endswith(' is serving')
        for record in caplog.records
    )


def test_a_closed_loop_does_not_keep_a_server_from_closing(our_loop):
    async def main():
        return await our_loop.create_server(asyncio.Protocol, '127.0.0.1', 0)

    server = our_loop.run_until_complete(main())
    our_loop.close()

    server.close()

    assert isinstance(server, serve.Server)
    assert server.sockets == ()
