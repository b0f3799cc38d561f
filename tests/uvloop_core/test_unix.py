"""create_unix_connection, create_unix_server, and UNIX sockets elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import sys
import threading
from pathlib import Path

import pytest

from tests.uvloop_core.peers import Recorder, small_buffers
from uvloop_core import _core

PATTERN = bytes(range(256)) * 4096  # 1 MiB
NEW = sys.version_info >= (3, 13)


class Echo(Recorder):
    def data_received(self, data):
        self.transport.write(data)


@pytest.fixture
def run(loop):
    return loop.run_until_complete


@pytest.fixture
def path(tmp_path, monkeypatch):
    """Short enough for a socket, whatever the folder is called."""
    monkeypatch.chdir(tmp_path)
    return 'socket'


@contextlib.contextmanager
def pair(loop, make=Recorder):
    """A transport, its protocol, and a plain socket at the other end."""
    ours, peer = socket.socketpair()
    peer.settimeout(10)
    transport, protocol = loop.run_until_complete(
        loop.create_unix_connection(make, sock=ours)
    )
    with peer:
        yield transport, protocol, peer
    if not transport.is_closing():
        transport.abort()
    loop.run_until_complete(protocol.lost.wait())


async def answer(loop, address) -> bytes:
    """Connect, send, receive, close."""
    transport, protocol = await loop.create_unix_connection(Recorder, address)
    transport.write(b'data')
    await protocol.until_size(4)
    transport.close()
    await protocol.lost.wait()
    return bytes(protocol.data)


async def stop(server, made):
    for protocol in made:
        await protocol.lost.wait()
    server.close()
    await server.wait_closed()


# Paths


def names():
    yield 'text', lambda path: str(path)
    yield 'bytes', lambda path: os.fsencode(path)
    yield 'Path', lambda path: Path(path)
    if sys.platform == 'linux':
        yield 'abstract', lambda path: f'\0httptools-uv-{os.getpid()}'
        yield 'abstract bytes', lambda path: b'\0httptools-uv-%d' % os.getpid()


@pytest.mark.parametrize('make', [pytest.param(b, id=a) for a, b in names()])
def test_a_server_serves_at_a_name_of_any_type(loop, run, path, make):
    made = []

    def factory():
        made.append(Echo())
        return made[-1]

    async def main():
        name = make(path)
        server = await loop.create_unix_server(factory, name)
        assert await answer(loop, name) == b'data'
        await stop(server, made)

    run(main())


def test_a_server_at_no_name_is_given_one(our_loop):
    async def main():
        server = await our_loop.create_unix_server(Recorder, '')
        name = server.sockets[0].getsockname()
        server.close()
        await server.wait_closed()
        return name

    assert our_loop.run_until_complete(main()).startswith(b'\0')


def test_a_path_that_is_too_long_is_refused(loop, run):
    with pytest.raises(OSError, match='too long'):
        run(loop.create_unix_server(Recorder, 'x' * 1000))
    with pytest.raises(OSError, match='too long'):
        run(loop.create_unix_connection(Recorder, 'x' * 1000))


def test_nobody_at_the_path(loop, run, path):
    with pytest.raises(FileNotFoundError):
        run(loop.create_unix_connection(Recorder, path))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        with pytest.raises(ConnectionRefusedError):
            run(loop.create_unix_connection(Recorder, path))


def test_a_stale_socket_is_replaced(loop, run, path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
    server = run(loop.create_unix_server(Recorder, path))

    server.close()
    run(server.wait_closed())


def test_another_file_is_not(loop, run, path):
    Path(path).write_text('mine')
    with pytest.raises(OSError, match=f"Address '{path}' is already in use"):
        run(loop.create_unix_server(Recorder, path))

    assert Path(path).read_text() == 'mine'


def test_a_file_that_cannot_be_looked_at_is_logged(loop, run, caplog):
    with caplog.at_level(logging.ERROR, 'asyncio'):
        with pytest.raises(NotADirectoryError):
            run(loop.create_unix_server(Recorder, '/dev/null/socket'))

    assert 'Unable to check or remove stale UNIX socket' in caplog.text


# The file after close


def test_the_file_stays_or_goes_as_with_asyncio(loop, run, path):
    server = run(loop.create_unix_server(Recorder, path))
    server.close()
    run(server.wait_closed())

    assert os.path.exists(path) is not NEW


@pytest.mark.parametrize('cleanup', [False, True])
def test_the_file_stays_or_goes_as_told(our_loop, path, cleanup):
    async def main():
        server = await our_loop.create_unix_server(
            Recorder, path, cleanup_socket=cleanup
        )
        server.close()
        await server.wait_closed()

    our_loop.run_until_complete(main())
    assert os.path.exists(path) is not cleanup


def test_the_file_of_a_socket_goes_too(our_loop, path):
    async def main():
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(path)
        server = await our_loop.create_unix_server(
            Recorder, sock=sock, cleanup_socket=True
        )
        server.close()
        await server.wait_closed()

    our_loop.run_until_complete(main())
    assert not os.path.exists(path)


def test_the_file_of_somebody_else_stays(our_loop, path):
    async def main():
        server = await our_loop.create_unix_server(
            Recorder, path, cleanup_socket=True
        )
        os.rename(path, 'kept')
        Path(path).write_text('mine')
        server.close()
        await server.wait_closed()

    our_loop.run_until_complete(main())
    assert Path(path).read_text() == 'mine'


def test_a_file_that_is_gone_is_no_error(our_loop, path):
    async def main():
        server = await our_loop.create_unix_server(
            Recorder, path, cleanup_socket=True
        )
        os.unlink(path)
        server.close()
        await server.wait_closed()

    our_loop.run_until_complete(main())


def test_a_file_that_cannot_be_removed_is_logged(our_loop, tmp_path, caplog):
    folder = tmp_path / 'folder'
    folder.mkdir()

    async def main():
        os.chdir(tmp_path)
        server = await our_loop.create_unix_server(
            Recorder, 'folder/socket', cleanup_socket=True
        )
        os.rename('folder/socket', 'kept')
        folder.rmdir()
        folder.write_text('no folder')
        server.close()
        await server.wait_closed()

    before = os.getcwd()
    with caplog.at_level(logging.ERROR, 'asyncio'):
        our_loop.run_until_complete(main())
    os.chdir(before)

    assert 'Unable to clean up listening UNIX socket' in caplog.text


# Arguments


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({}, 'no path and sock were specified'),
        ({'path': 'x', 'sock': 1}, 'path and sock can not be specified at'),
        ({'path': 'x', 'ssl': True}, 'you have to pass server_hostname when'),
        (
            {'path': 'x', 'server_hostname': 'x'},
            'server_hostname is only meaningful with ssl',
        ),
        (
            {'path': 'x', 'ssl_handshake_timeout': 1},
            'ssl_handshake_timeout is only meaningful with ssl',
        ),
        (
            {'path': 'x', 'ssl_shutdown_timeout': 1},
            'ssl_shutdown_timeout is only meaningful with ssl',
        ),
    ],
)
def test_arguments_of_a_connection_that_do_not_fit(
    loop, run, arguments, message
):
    with pytest.raises(ValueError, match=message):
        run(loop.create_unix_connection(Recorder, **arguments))


@pytest.mark.parametrize(
    ('arguments', 'error', 'message'),
    [
        ({}, ValueError, 'path was not specified, and no sock specified'),
        ({'path': 'x', 'sock': 1}, ValueError, 'path and sock can not be'),
        ({'path': 'x', 'ssl': True}, TypeError, 'ssl argument must be an SSL'),
        (
            {'path': 'x', 'ssl_handshake_timeout': 1},
            ValueError,
            'ssl_handshake_timeout is only meaningful with ssl',
        ),
        (
            {'path': 'x', 'ssl_shutdown_timeout': 1},
            ValueError,
            'ssl_shutdown_timeout is only meaningful with ssl',
        ),
    ],
)
def test_arguments_of_a_server_that_do_not_fit(
    loop, run, arguments, error, message
):
    with pytest.raises(error, match=message):
        run(loop.create_unix_server(Recorder, **arguments))


@pytest.mark.parametrize(
    'kind', [(socket.AF_INET,), (socket.AF_UNIX, socket.SOCK_DGRAM)]
)
def test_sockets_of_another_kind_are_refused(loop, run, kind):
    message = 'A UNIX Domain Stream Socket was expected, got <socket'
    with socket.socket(*kind) as sock:
        with pytest.raises(ValueError, match=message):
            run(loop.create_unix_connection(Recorder, sock=sock))
        with pytest.raises(ValueError, match=message):
            run(loop.create_unix_server(Recorder, sock=sock))


def test_a_tls_socket_is_refused(our_loop):
    context = ssl.create_default_context()
    left, right = socket.socketpair()
    with left, right:
        with context.wrap_socket(
            left, server_hostname='x', do_handshake_on_connect=False
        ) as sock:
            with pytest.raises(TypeError, match='cannot be of type SSLSock'):
                our_loop.run_until_complete(
                    our_loop.create_unix_connection(Recorder, sock=sock)
                )


def test_open_unix_takes_unix_sockets_only(our_loop):
    with socket.socket() as sock:
        with pytest.raises(ValueError, match='family AF_UNIX was expected'):
            _core.open_unix(our_loop, sock, Recorder())
    left, right = socket.socketpair()
    with left, right:
        with pytest.raises(ValueError, match='family AF_INET or AF_INET6'):
            _core.open_tcp(our_loop, left, Recorder())


# The transport


def test_what_the_transport_tells_of_itself(loop, run, path):
    async def main():
        made = Recorder()
        server = await loop.create_unix_server(lambda: made, path)
        transport, protocol = await loop.create_unix_connection(Recorder, path)
        await made.until('connection_made')
        info = transport.get_extra_info
        theirs = made.transport.get_extra_info
        assert isinstance(transport, asyncio.Transport)
        assert (info('peername'), info('sockname')) == (path, '')
        assert (theirs('peername'), theirs('sockname')) == ('', path)
        for sock in (info('socket'), theirs('socket')):
            assert (sock.family, sock.type) == (
                socket.AF_UNIX,
                socket.SOCK_STREAM,
            )
            assert not os.get_blocking(sock.fileno())
            assert not sock.get_inheritable()
        transport.close()
        await protocol.lost.wait()
        await stop(server, [made])
        assert info('peername') == path

    run(main())


def test_the_name_is_uvloops(our_loop):
    with pair(our_loop) as (transport, _, _):
        assert type(transport).__name__ == 'UnixTransport'
        with pytest.raises(TypeError):
            type(transport)()


def test_a_lot_goes_through_both_ways(loop, run):
    with pair(loop, Echo) as (transport, _, peer):
        received = bytearray()

        def talk():
            sender = threading.Thread(target=peer.sendall, args=(PATTERN,))
            sender.start()
            while len(received) < len(PATTERN):
                received.extend(peer.recv(1 << 16))
            sender.join()

        run(loop.run_in_executor(None, talk))

        assert received == PATTERN


def test_writing_is_paused_and_resumed(loop, run):
    with pair(loop) as (transport, protocol, peer):
        small_buffers(transport.get_extra_info('socket'))
        transport.write(PATTERN)
        assert protocol.calls[-1] == 'pause_writing'

        def drain():
            size = 0
            while size < len(PATTERN):
                size += len(peer.recv(1 << 16))

        run(loop.run_in_executor(None, drain))
        run(protocol.until('resume_writing'))
        assert transport.get_write_buffer_size() == 0


def test_each_side_ends_by_itself(loop, run):
    with pair(loop, lambda: Recorder(keep_open=True)) as (
        transport,
        protocol,
        peer,
    ):
        peer.shutdown(socket.SHUT_WR)
        run(protocol.until('eof_received'))
        transport.write(b'still here')
        transport.write_eof()

        assert peer.recv(100) == b'still here'
        assert peer.recv(100) == b''
        transport.close()


def test_a_peer_that_goes_is_told(loop, run):
    with pair(loop) as (transport, protocol, peer):
        peer.close()
        run(protocol.lost.wait())

        assert protocol.calls[-2:] == ['eof_received', 'connection_lost']
        assert protocol.error is None


def test_a_peer_that_goes_breaks_what_is_being_sent(loop, run):
    with pair(loop) as (transport, protocol, peer):
        transport.pause_reading()
        transport.write(PATTERN * 4)
        peer.close()
        run(protocol.lost.wait())

        assert isinstance(protocol.error, BrokenPipeError | ConnectionError)


def test_a_closed_descriptor_ends_the_transport(our_loop):
    with pair(our_loop) as (transport, protocol, _):
        transport.pause_reading()
        our_loop.run_until_complete(asyncio.sleep(0))
        os.close(transport.get_extra_info('socket').fileno())
        transport.resume_reading()
        our_loop.run_until_complete(protocol.lost.wait())

        assert isinstance(protocol.error, OSError)


# Through the other doors


def test_create_connection_takes_a_unix_socket(loop, run):
    async def main():
        left, right = socket.socketpair()
        transport, protocol = await loop.create_connection(Recorder, sock=left)
        with right:
            right.send(b'data')
            await protocol.until_size(4)
        await protocol.lost.wait()

    run(main())


def test_connect_accepted_socket_takes_one(loop, run):
    async def main():
        left, right = socket.socketpair()
        transport, protocol = await loop.connect_accepted_socket(
            Recorder, left
        )
        with right:
            right.send(b'data')
            await protocol.until_size(4)
        await protocol.lost.wait()

    run(main())


def test_create_server_takes_one_and_leaves_its_file(loop, run, path):
    async def main():
        made = []
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(path)
        server = await loop.create_server(
            lambda: made.append(Echo()) or made[-1], sock=sock
        )
        assert await answer(loop, path) == b'data'
        await stop(server, made)

    run(main())
    assert os.path.exists(path)


def test_a_server_may_start_later(loop, run, path):
    async def main():
        made = []
        server = await loop.create_unix_server(
            lambda: made.append(Echo()) or made[-1], path, start_serving=False
        )
        assert not server.is_serving()
        with pytest.raises(ConnectionRefusedError):
            await loop.create_unix_connection(Recorder, path)
        await server.start_serving()
        assert await answer(loop, path) == b'data'
        await stop(server, made)

    run(main())


def test_a_cancelled_connect_leaves_nothing_open(loop, run, path):
    async def main():
        server = await loop.create_unix_server(Recorder, path)
        for turns in range(3):
            task = asyncio.ensure_future(
                loop.create_unix_connection(Recorder, path)
            )
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                transport, _ = await task
                transport.close()
        await asyncio.sleep(0.01)
        server.close()
        await server.wait_closed()

    run(main())


def test_a_factory_that_raises_leaves_nothing_open(our_loop, path):
    async def main():
        server = await our_loop.create_unix_server(Recorder, path)
        with pytest.raises(ZeroDivisionError):
            await our_loop.create_unix_connection(lambda: 1 / 0, path)
        server.close()
        await server.wait_closed()

    our_loop.run_until_complete(main())


def test_asyncios_streams_run_on_them(loop, run, path):
    async def serve(reader, writer):
        writer.write(await reader.readline())
        writer.close()
        await writer.wait_closed()

    async def main():
        server = await asyncio.start_unix_server(serve, path)
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b'line\n')
        assert await reader.read() == b'line\n'
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(main())
