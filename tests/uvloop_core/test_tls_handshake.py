"""TLS: the handshake and what can go wrong in it, start_tls, TLS in TLS."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import socket
import ssl
import tracemalloc
import weakref

import pytest

from tests.uvloop_core.peers import Recorder, reset, small_buffers
from tests.uvloop_core.tls_peers import (
    DEADLINE,
    TlsPeer,
    socket_pair,
    tls_connection,
    turns,
)


@pytest.fixture
def pair():
    one, other = socket_pair()
    with other:
        yield one, other


def connect(loop, sock, context, make=Recorder, **options):
    return asyncio.wait_for(
        loop.create_connection(
            make,
            sock=sock,
            ssl=context,
            server_hostname='127.0.0.1',
            **options,
        ),
        DEADLINE,
    )


async def drop(sock, *_):
    sock.close()


async def send_garbage(sock, loop):
    await loop.sock_sendall(sock, os.urandom(3000))


async def send_half(sock, loop):
    await loop.sock_recv(sock, 1 << 16)
    await loop.sock_sendall(sock, b'\x16\x03\x03\x00\x7a\x02')
    sock.close()


async def send_alert(sock, loop):
    await loop.sock_sendall(sock, b'\x15\x03\x03\x00\x02\x02\x28')


async def send_reset(sock, loop):
    await loop.sock_recv(sock, 1 << 16)
    reset(sock)


# ---- handshakes that fail ----


@pytest.mark.parametrize(
    ('misbehave', 'error'),
    [
        (drop, ConnectionResetError),
        (send_garbage, ssl.SSLError),
        (send_half, ConnectionResetError),
        (send_alert, ssl.SSLError),
        (send_reset, ConnectionResetError),
    ],
)
def test_a_bad_handshake_is_the_callers(
    loop, pair, client_tls, misbehave, error
):
    async def main():
        task = asyncio.ensure_future(connect(loop, pair[0], client_tls))
        await turns(3)
        await misbehave(pair[1], loop)
        with pytest.raises(error):
            await task
        await turns(3)

    loop.run_until_complete(main())


@pytest.mark.parametrize('count', [0, 1, 5, 100, 517])
def test_a_server_drops_what_is_no_client(loop, server_tls, reports, count):
    made = []

    async def main():
        server = await loop.create_server(
            lambda: made.append(Recorder()) or made[-1],
            *('127.0.0.1', 0),
            ssl=server_tls,
        )
        async with server:
            with socket.socket() as sock:
                sock.setblocking(False)
                name = server.sockets[0].getsockname()
                await loop.sock_connect(sock, name)
                await loop.sock_sendall(sock, b'GET / HTTP/1.1\r\n' * count)
                sock.shutdown(socket.SHUT_WR)
                with contextlib.suppress(ConnectionError):
                    while await loop.sock_recv(sock, 1000):
                        pass
            await turns(3)

    loop.run_until_complete(main())
    assert made[0].calls == []
    assert_reported(loop, reports)


def assert_reported(loop, reports):
    """A server's failed handshake: in debug mode, once."""
    messages = [report['message'] for report in reports]
    reports.clear()
    wanted = 'Error on transport creation for incoming connection'
    assert messages == [wanted] * loop.get_debug()


def test_a_certificate_that_is_not_trusted(loop, server_tls, caplog):
    async def main():
        one, other = socket_pair()
        with other:
            peer = TlsPeer(other, server_tls)
            shaking = asyncio.ensure_future(peer.handshake())
            with pytest.raises(ssl.SSLCertVerificationError):
                await connect(loop, one, ssl.create_default_context())
            await asyncio.wait([shaking])
            return shaking.exception()

    with caplog.at_level(logging.DEBUG, 'asyncio'):
        error = loop.run_until_complete(main())
    assert error is not None
    said = 'SSL handshake failed on verifying the certificate' in caplog.text
    assert said == loop.get_debug()


def test_the_peer_is_told_why(our_loop, server_tls):
    async def main():
        one, other = socket_pair()
        with other:
            peer = TlsPeer(other, server_tls)
            shaking = asyncio.ensure_future(peer.handshake())
            with pytest.raises(ssl.SSLCertVerificationError):
                await connect(our_loop, one, ssl.create_default_context())
            with pytest.raises(ssl.SSLError, match='(?i)unknown ca'):
                await shaking

    our_loop.run_until_complete(main())


def test_a_failed_handshake_leaves_nothing_to_the_collector(
    our_loop, server_tls
):
    async def main():
        context = ssl.create_default_context()
        one, other = socket_pair()
        with other:
            shaking = asyncio.ensure_future(
                TlsPeer(other, server_tls).handshake()
            )
            with contextlib.suppress(ssl.SSLError):
                # Not by wait_for, which leaves a cycle in 3.11.
                await our_loop.create_connection(
                    Recorder, sock=one, ssl=context, server_hostname='x'
                )
            await asyncio.wait([shaking])
            shaking.exception()
            await turns(3)
            return weakref.ref(context)

    gc.collect()
    gc.disable()
    try:
        assert our_loop.run_until_complete(main())() is None
    finally:
        gc.enable()


@pytest.mark.parametrize('version', ['TLSv1_2', 'TLSv1_3'])
def test_a_client_without_the_certificate_is_refused(
    loop, server_tls, client_tls, reports, version
):
    server_tls.verify_mode = ssl.CERT_REQUIRED
    server_tls.maximum_version = ssl.TLSVersion[version]

    async def main():
        server = await loop.create_server(
            Recorder, '127.0.0.1', 0, ssl=server_tls
        )
        host, port = server.sockets[0].getsockname()
        async with server:
            # Of 1.3 the client hears after its own handshake is done.
            with pytest.raises((ssl.SSLError, ConnectionError)):
                _, protocol = await loop.create_connection(
                    Recorder, host, port, ssl=client_tls
                )
                await asyncio.wait_for(protocol.lost.wait(), DEADLINE)
                # asyncio's server does not say why.
                raise protocol.error or ConnectionError
            await turns(3)

    loop.run_until_complete(main())
    assert_reported(loop, reports)


def test_a_handshake_that_takes_too_long(loop, pair, client_tls):
    async def main():
        with pytest.raises(ConnectionAbortedError) as caught:
            await connect(
                *(loop, pair[0], client_tls), ssl_handshake_timeout=0.05
            )
        await turns(3)
        return str(caught.value)

    assert loop.run_until_complete(main()) == (
        'SSL handshake is taking longer than 0.05 seconds: aborting the'
        ' connection'
    )


@pytest.mark.parametrize('count', range(1, 6))
def test_a_cancelled_handshake_leaves_nothing(loop, pair, client_tls, count):
    async def main():
        task = asyncio.ensure_future(connect(loop, pair[0], client_tls))
        await turns(count)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await turns(3)
        pair[0].close()

    loop.run_until_complete(main())


@pytest.mark.parametrize('name', ['handshake', 'shutdown'])
@pytest.mark.parametrize('value', [0, -1])
def test_timeouts_are_positive(loop, pair, client_tls, name, value):
    async def main():
        option = {f'ssl_{name}_timeout': value}
        with pytest.raises(ValueError, match='should be a positive number'):
            await connect(loop, pair[0], client_tls, **option)
        pair[0].close()

    loop.run_until_complete(main())


def test_a_debug_loop_logs_how_long_it_took(
    loop, server_tls, client_tls, caplog
):
    async def main():
        async with tls_connection(server_tls, client_tls):
            pass

    with caplog.at_level(logging.DEBUG, 'asyncio'):
        loop.run_until_complete(main())
    for text in 'starts SSL handshake', 'SSL handshake took':
        assert (text in caplog.text) == loop.get_debug()


# ---- protocols that raise ----


def test_connection_made_that_raises_is_the_callers(
    loop, server_tls, client_tls, reports
):
    async def main():
        with pytest.raises(ZeroDivisionError):
            async with tls_connection(
                *(server_tls, client_tls, lambda: Recorder('connection_made'))
            ):
                pass
        await turns(3)

    loop.run_until_complete(main())
    assert isinstance(reports.take()[0]['exception'], ZeroDivisionError)


@pytest.mark.parametrize('name', ['data_received', 'eof_received'])
def test_a_protocol_that_raises_loses_its_connection(
    loop, server_tls, client_tls, reports, name
):
    async def main():
        async with tls_connection(
            server_tls, client_tls, lambda: Recorder(name)
        ) as (_, protocol, peer):
            await peer.send(b'data')
            if name == 'eof_received':
                peer.close()
            await protocol.lost.wait()

            assert isinstance(protocol.error, ZeroDivisionError)

    loop.run_until_complete(main())
    assert len(reports.take()) == 1


def test_pause_writing_that_raises_is_reported(
    loop, server_tls, client_tls, reports
):
    async def main():
        async with tls_connection(
            server_tls, client_tls, lambda: Recorder('pause_writing')
        ) as (transport, protocol, peer):
            while 'pause_writing' not in protocol.calls:
                transport.write(bytes(100_000))
            assert not transport.is_closing()
            reading = asyncio.ensure_future(peer.drain())
            await protocol.until('resume_writing')
            transport.abort()
            await reading

    loop.run_until_complete(main())
    [report] = reports.take()
    assert report['message'] == 'protocol.pause_writing() failed'


@pytest.mark.parametrize('kind', [KeyboardInterrupt, SystemExit])
def test_an_interrupt_ends_the_run_and_not_the_connection(
    loop, server_tls, client_tls, kind
):
    class Interrupted(Recorder):
        def data_received(self, data):
            super().data_received(data)
            if data == b'stop':
                raise kind

    made = contextlib.AsyncExitStack()
    _, protocol, peer = loop.run_until_complete(
        made.enter_async_context(
            tls_connection(server_tls, client_tls, Interrupted)
        )
    )
    sending = loop.create_task(peer.send(b'stop'))
    with pytest.raises(kind):
        loop.run_forever()
    loop.run_until_complete(sending)
    loop.run_until_complete(peer.send(b'more'))
    loop.run_until_complete(protocol.until_size(8))
    loop.run_until_complete(made.aclose())


# ---- start_tls ----


async def plain(loop, sock, make=Recorder):
    return await loop.create_connection(make, sock=sock)


def test_start_tls_goes_on_with_the_same_protocol(
    loop, pair, server_tls, client_tls
):
    async def main():
        transport, protocol = await plain(loop, pair[0])
        peer = TlsPeer(pair[1], server_tls)
        shaking = asyncio.ensure_future(peer.handshake())
        upper = await loop.start_tls(
            transport, protocol, client_tls, server_hostname='127.0.0.1'
        )
        await shaking
        upper.write(b'ping')
        assert await peer.read(4) == b'ping'
        await peer.send(b'pong')
        await protocol.until_size(4)
        upper.abort()
        await protocol.lost.wait()

        assert protocol.calls == [
            *('connection_made', 'data_received', 'connection_lost')
        ]

    loop.run_until_complete(main())


def test_start_tls_that_fails_loses_the_connection(our_loop, pair, client_tls):
    async def main():
        transport, protocol = await plain(our_loop, pair[0])
        task = asyncio.ensure_future(
            our_loop.start_tls(
                transport, protocol, client_tls, server_hostname='x'
            )
        )
        await turns(3)
        await send_garbage(pair[1], our_loop)
        with pytest.raises(ssl.SSLError):
            await task
        await protocol.lost.wait()

        assert isinstance(protocol.error, ssl.SSLError)

    our_loop.run_until_complete(main())


def test_closed_below_during_the_handshake_start_tls_raises(
    our_loop, pair, client_tls
):
    async def main():
        transport, protocol = await plain(our_loop, pair[0])
        task = asyncio.ensure_future(
            our_loop.start_tls(
                transport, protocol, client_tls, server_hostname='x'
            )
        )
        await turns(3)
        transport.close()
        with pytest.raises(ConnectionAbortedError, match='during the SSL'):
            await task
        await protocol.lost.wait()

    our_loop.run_until_complete(main())


@pytest.mark.parametrize('count', range(4))
def test_start_tls_of_a_closed_transport_raises(
    our_loop, pair, client_tls, count
):
    """In asyncio it waits for ever."""

    async def main():
        transport, protocol = await plain(our_loop, pair[0])
        transport.abort()
        await turns(count)
        with pytest.raises(ConnectionAbortedError, match='the SSL handsh'):
            await our_loop.start_tls(
                transport, protocol, client_tls, server_hostname='x'
            )
        assert transport.is_closing()

    our_loop.run_until_complete(asyncio.wait_for(main(), DEADLINE))


@pytest.mark.parametrize('count', range(5))
def test_a_cancelled_start_tls_closes_the_connection(
    loop, pair, client_tls, count
):
    async def main():
        transport, protocol = await plain(loop, pair[0])
        task = asyncio.ensure_future(
            loop.start_tls(
                transport, protocol, client_tls, server_hostname='x'
            )
        )
        await turns(count)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if not transport.is_closing():
            transport.close()
        await turns(3)

    loop.run_until_complete(main())


def test_tls_in_tls(loop, pair, server_tls, client_tls):
    async def main():
        outer = TlsPeer(pair[1], server_tls)
        shaking = asyncio.ensure_future(outer.handshake())
        transport, protocol = await connect(loop, pair[0], client_tls)
        await shaking
        starting = asyncio.ensure_future(
            loop.start_tls(
                *(transport, protocol, client_tls),
                server_hostname='127.0.0.1',
            )
        )
        inner = Inner(outer, server_tls)
        await inner.handshake()
        upper = await starting
        upper.write(b'ping' * 50_000)
        assert await inner.read(200_000) == b'ping' * 50_000
        await inner.send(b'pong')
        await protocol.until_size(4)
        assert upper.get_extra_info('peername') == pair[1].getsockname()
        upper.abort()
        await protocol.lost.wait()

        assert protocol.data == b'pong'
        assert protocol.calls.count('connection_made') == 1

    loop.run_until_complete(main())


class Inner(TlsPeer):
    """The peer of the TLS inside another one's."""

    def __init__(self, outer, context):
        super().__init__(outer.sock, context)
        self.outer = outer

    async def receive(self):
        data = await self.outer.do(self.outer.tls.read, 1 << 16)
        self.incoming.write(data)
        return bool(data)

    async def flush(self):
        if self.outgoing.pending:
            await self.outer.send(self.outgoing.read())


def test_an_accepted_socket_comes_with_the_applications_protocol(
    loop, pair, server_tls, client_tls
):
    async def main():
        peer = TlsPeer(pair[1], client_tls, server_side=False)
        shaking = asyncio.ensure_future(peer.handshake())
        transport, protocol = await loop.connect_accepted_socket(
            Recorder, pair[0], ssl=server_tls
        )
        await shaking
        assert type(protocol) is Recorder
        assert transport.get_protocol() is protocol
        transport.abort()
        await protocol.lost.wait()

    client_tls.check_hostname = False
    loop.run_until_complete(main())


def test_a_file_is_sent(loop, server_tls, client_tls, tmp_path):
    path = tmp_path / 'file'
    path.write_bytes(b'line\n' * 50_000)

    async def main():
        async with tls_connection(server_tls, client_tls) as made:
            transport, _, peer = made
            with path.open('rb') as file:
                sent, received = await asyncio.gather(
                    loop.sendfile(transport, file), peer.read(250_000)
                )

            assert sent == 250_000
            assert received == path.read_bytes()

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_default_executor())


# ---- defects that users of uvloop have reported ----


def test_a_download_ends_soon_after_close(our_loop, server_tls, client_tls):
    """uvloop's #471: it goes on for 30 seconds."""

    async def upload(peer):
        sent = 0
        with contextlib.suppress(ConnectionError):
            while True:
                await peer.send(bytes(16_384))
                sent += 16_384
        return sent

    async def main():
        async with tls_connection(server_tls, client_tls) as made:
            transport, protocol, peer = made
            small_buffers(peer.sock, 32_768)
            sending = asyncio.ensure_future(upload(peer))
            await protocol.until_size(100_000)
            transport.close()
            await protocol.lost.wait()

            assert protocol.error is None
            sent = await sending
            assert sent - len(protocol.data) < 16 << 20

    our_loop.run_until_complete(main())


def test_data_before_start_tls_is_the_handshakes(
    our_loop, server_tls, client_tls
):
    """uvloop's #707: what the reader had is lost, and the handshake hangs."""

    async def serve(reader, writer):
        assert await reader.readline() == b'PROXY\n'
        await writer.start_tls(server_tls)
        writer.write(await reader.readexactly(4))
        writer.close()

    async def main():
        server = await asyncio.start_server(serve, '127.0.0.1', 0)
        async with server:
            sock = socket.create_connection(server.sockets[0].getsockname())
            sock.setblocking(False)
            with sock:
                client_tls.check_hostname = False
                peer = TlsPeer(sock, client_tls, server_side=False)
                with pytest.raises(ssl.SSLWantReadError):
                    peer.tls.do_handshake()
                hello = b'PROXY\n' + peer.outgoing.read()
                await our_loop.sock_sendall(sock, hello)
                await peer.handshake()
                await peer.send(b'ping')
                assert await peer.read(4) == b'ping'
                await peer.do(peer.tls.unwrap)
            await turns(5)

    our_loop.run_until_complete(asyncio.wait_for(main(), DEADLINE))


def test_an_idle_connection_has_no_buffers(our_loop, server_tls, client_tls):
    """uvloop's #565: 256 KiB for each."""
    count = 20

    async def main():
        async with contextlib.AsyncExitStack() as stack:
            for i in range(count + 1):
                made = tls_connection(server_tls, client_tls)
                _, protocol, peer = await stack.enter_async_context(made)
                await peer.send(b'data' * 10_000)
                await protocol.until_size(40_000)
                protocol.data.clear()
                if i == 0:  # what the first one makes for all
                    before = tracemalloc.get_traced_memory()[0]
            now = tracemalloc.get_traced_memory()[0]
            return (now - before) / count

    tracemalloc.start()
    try:
        assert our_loop.run_until_complete(main()) < 100_000
    finally:
        tracemalloc.stop()


def test_start_tls_while_writing_is_paused(
    our_loop, pair, server_tls, client_tls
):
    """uvloop's #564: an AssertionError, and asyncio's."""

    async def main():
        transport, protocol = await plain(our_loop, pair[0])
        written = 0
        while 'pause_writing' not in protocol.calls:
            transport.write(bytes(100_000))
            written += 100_000
        starting = asyncio.ensure_future(
            our_loop.start_tls(
                transport, protocol, client_tls, server_hostname='127.0.0.1'
            )
        )
        await turns(3)
        while written:
            written -= len(await our_loop.sock_recv(pair[1], written))
        peer = TlsPeer(pair[1], server_tls)
        await peer.handshake()
        upper = await starting
        await protocol.until('resume_writing')
        upper.write(b'ping')
        assert await peer.read(4) == b'ping'
        upper.abort()
        await protocol.lost.wait()

    our_loop.run_until_complete(main())
