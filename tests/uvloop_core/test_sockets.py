"""add_reader and the like, and the sock_* calls."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import tempfile

import pytest


@pytest.fixture
def listener():
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        sock.listen()
        sock.setblocking(False)
        yield sock


def udp_socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(('127.0.0.1', 0))
    sock.setblocking(False)
    return sock


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def fill(sock: socket.socket) -> int:
    """Send until the peer's buffer is full; returns how much went in."""
    sent = 0
    while True:
        try:
            sent += sock.send(bytes(65536))
        except BlockingIOError:
            return sent


# add_reader, add_writer


def test_a_reader_is_called_while_there_is_something_to_read(loop, pair):
    left, right = pair
    received = []

    def read():
        received.append(left.recv(1))
        if len(received) == 2:
            loop.stop()

    loop.add_reader(left, read)
    right.send(b'ab')
    loop.run_forever()

    assert received == [b'a', b'b']
    assert loop.remove_reader(left)


def test_a_writer_is_called_with_its_arguments(loop, pair):
    left, _ = pair
    calls = []

    def write(*args):
        calls.append(args)
        loop.stop()

    loop.add_writer(left.fileno(), write, 1, 2)
    loop.run_forever()

    assert calls == [(1, 2)]
    assert loop.remove_writer(left.fileno())


def test_a_second_reader_takes_the_place_of_the_first(loop, pair):
    left, right = pair
    calls = []
    loop.add_reader(left, calls.append, 1)
    loop.add_reader(left, lambda: (calls.append(2), loop.stop()))

    right.send(b'a')
    loop.run_forever()

    assert calls == [2]
    loop.remove_reader(left)


def test_removing_tells_whether_there_was_something(loop, pair):
    left, _ = pair
    loop.add_reader(left, print)

    assert loop.remove_reader(left) is True
    assert loop.remove_reader(left) is False
    assert loop.remove_writer(left) is False


def test_a_reader_removed_in_its_turn_is_not_called(loop, pair):
    left, right = pair
    calls = []
    loop.add_reader(left, calls.append, 1)
    right.send(b'a')
    loop.call_soon(loop.remove_reader, left)

    loop.run_until_complete(turns(5))

    # The poll of the first turn comes before the callback.
    assert calls in ([], [1])


@pytest.mark.parametrize('method', ['add_reader', 'add_writer'])
def test_what_is_not_a_file_is_refused(loop, method):
    with pytest.raises(ValueError, match=r'^Invalid file object: '):
        getattr(loop, method)(object(), print)


@pytest.mark.parametrize('method', ['add_reader', 'add_writer'])
def test_a_closed_descriptor_is_an_error(loop, method):
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)

    with pytest.raises(OSError) as error:
        getattr(loop, method)(reader, print)
    assert error.value.errno == errno.EBADF


def test_a_regular_file_is_an_error(loop):
    with tempfile.TemporaryFile() as file:
        with pytest.raises(PermissionError):
            loop.add_reader(file, print)


def test_a_descriptor_closed_under_a_reader_does_no_harm(loop):
    reader, writer = os.pipe()
    loop.add_reader(reader, print)
    os.close(reader)
    os.close(writer)

    loop.run_until_complete(asyncio.sleep(0.01))
    loop.remove_reader(reader)


def test_a_reused_descriptor_number_is_watched_anew(our_loop):
    # asyncio's selector believes that it is watched already.
    loop = our_loop
    calls = []
    first, writer = os.pipe()
    loop.add_reader(first, print)
    os.close(first)
    second, other_writer = os.pipe()
    assert second == first

    loop.add_reader(second, lambda: (calls.append(1), loop.stop()))
    os.write(other_writer, b'a')
    loop.run_forever()

    assert calls == [1]
    loop.remove_reader(second)
    for fd in (second, writer, other_writer):
        os.close(fd)


# sock_*


def test_sock_recv_takes_what_is_there_without_a_turn(loop, pair):
    left, right = pair
    right.send(b'spam')

    async def receive():
        turned = []
        loop.call_soon(turned.append, 1)
        return await loop.sock_recv(left, 10), len(turned)

    assert loop.run_until_complete(receive()) == (b'spam', 0)


@pytest.mark.parametrize('method', ['sock_recv', 'sock_recv_into'])
def test_receiving_waits_for_data(loop, pair, method):
    left, right = pair
    buffer = bytearray(10)

    async def receive():
        loop.call_later(0.01, right.send, b'spam')
        if method == 'sock_recv':
            return await loop.sock_recv(left, 10)
        count = await loop.sock_recv_into(left, buffer)
        return bytes(buffer[:count])

    assert loop.run_until_complete(receive()) == b'spam'
    assert loop.remove_reader(left) is False


def test_datagrams_go_both_ways(loop):
    async def talk(one, two):
        assert await loop.sock_sendto(one, b'spam', two.getsockname()) == 4
        data, address = await loop.sock_recvfrom(two, 100)
        loop.call_later(0.01, two.sendto, b'eggs', address)
        buffer = bytearray(10)
        count, sender = await loop.sock_recvfrom_into(one, buffer)
        return data, bytes(buffer[:count]), sender == two.getsockname()

    with udp_socket() as one, udp_socket() as two:
        received = loop.run_until_complete(talk(one, two))

    assert received == (b'spam', b'eggs', True)


def test_sock_sendall_sends_what_does_not_fit_at_once(loop, pair):
    left, right = pair
    data = os.urandom(3_000_000)

    async def receive():
        parts = []
        while sum(map(len, parts)) < len(data):
            parts.append(await loop.sock_recv(right, 65536))
        return b''.join(parts)

    async def talk():
        return await asyncio.gather(loop.sock_sendall(left, data), receive())

    assert loop.run_until_complete(talk()) == [None, data]


def test_sock_sendall_takes_any_buffer(our_loop, pair):
    # asyncio counts a view's items and not its bytes, and sends on for ever.
    loop = our_loop
    left, right = pair
    numbers = memoryview(bytes(8)).cast('I')

    loop.run_until_complete(loop.sock_sendall(left, numbers))

    assert right.recv(100) == bytes(8)


def test_sock_accept_waits_for_a_connection(loop, listener):
    async def accept():
        client = socket.socket()
        client.setblocking(False)
        accepting = loop.create_task(loop.sock_accept(listener))
        await turns(2)
        await loop.sock_connect(client, listener.getsockname())
        connection, address = await accepting
        with client, connection:
            return connection.gettimeout(), address == client.getsockname()

    assert loop.run_until_complete(accept()) == (0, True)


def test_sock_connect_tells_the_address_that_refuses(loop, listener):
    address = listener.getsockname()
    listener.close()

    with socket.socket() as sock:
        sock.setblocking(False)
        with pytest.raises(ConnectionRefusedError, match=r'^.Errno'):
            loop.run_until_complete(loop.sock_connect(sock, address))


def test_sock_connect_takes_part_in_a_connect_that_is_under_way(
    loop, listener
):
    address = listener.getsockname()

    with socket.socket() as sock:
        sock.setblocking(False)
        sock.connect_ex(address)
        loop.run_until_complete(loop.sock_connect(sock, address))
        assert sock.getpeername() == address


def test_sock_connect_of_a_socket_with_a_timeout_times_out(loop, listener):
    with contextlib.ExitStack() as stack:
        listener.listen(0)
        for _ in range(3):  # more than it has room for
            other = stack.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(listener.getsockname())
        sock = stack.enter_context(socket.socket())
        sock.settimeout(0.05)
        error = ValueError if loop.get_debug() else TimeoutError
        with pytest.raises(error):
            loop.run_until_complete(
                loop.sock_connect(sock, listener.getsockname())
            )


def test_sock_connect_is_connect_of_a_socket_that_has_its_own(loop, listener):
    class Tunnel(socket.socket):
        def connect(self, address):
            super().connect(listener.getsockname())

    with Tunnel() as sock:
        sock.setblocking(False)
        loop.run_until_complete(loop.sock_connect(sock, ('127.0.0.1', 9)))
        assert sock.getpeername() == listener.getsockname()


def test_sock_connect_resolves_names(loop, listener):
    port = listener.getsockname()[1]

    with socket.socket() as sock:
        sock.setblocking(False)
        loop.run_until_complete(loop.sock_connect(sock, ('localhost', port)))
        assert sock.getpeername() == listener.getsockname()


def test_an_error_while_waiting_comes_out(loop, listener):
    client = socket.create_connection(listener.getsockname())
    connection, _ = listener.accept()
    connection.setsockopt(
        *(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
    )
    client.setblocking(False)
    loop.call_later(0.01, connection.close)

    with client, pytest.raises(ConnectionResetError):
        loop.run_until_complete(loop.sock_recv(client, 1))


def test_a_cancelled_wait_gives_up_its_descriptor_at_once(loop, pair):
    left, _ = pair

    async def cancel():
        task = loop.create_task(loop.sock_recv(left, 1))
        await turns(2)
        task.cancel()
        await turns(2)
        assert task.cancelled()
        return loop.remove_reader(left)

    assert loop.run_until_complete(cancel()) is False


def test_a_socket_closed_while_it_is_waited_for_closes_after(our_loop, pair):
    left, right = pair

    async def main():
        task = our_loop.create_task(our_loop.sock_recv(left, 10))
        await turns(2)
        left.close()
        assert left.fileno() != -1
        right.send(b'spam')
        assert await task == b'spam'

    our_loop.run_until_complete(main())

    assert left.fileno() == -1


def test_a_socket_closed_while_it_is_waited_for_closes_when_cancelled(
    our_loop, pair
):
    async def main():
        task = our_loop.create_task(our_loop.sock_recv(pair[0], 10))
        await turns(2)
        pair[0].close()
        task.cancel()
        assert pair[0].fileno() == -1

    our_loop.run_until_complete(main())


def test_a_closed_loop_lets_go_of_the_sockets_it_waited_for(our_loop, pair):
    async def main():
        return our_loop.create_task(our_loop.sock_recv(pair[0], 10))

    task = our_loop.run_until_complete(main())
    our_loop.call_soon(our_loop.stop)
    our_loop.run_forever()
    pair[0].close()
    our_loop.close()

    assert pair[0].fileno() == -1
    # Nobody will run it.
    task._log_destroy_pending = False


def test_a_new_wait_may_follow_a_cancelled_one_in_the_same_turn(loop, pair):
    left, right = pair

    async def race():
        first = loop.create_task(loop.sock_recv(left, 1))
        await turns(2)
        first.cancel()
        second = loop.create_task(loop.sock_recv(left, 1))
        await turns(3)
        right.send(b'a')
        return await asyncio.wait_for(second, 5)

    assert loop.run_until_complete(race()) == b'a'


def test_a_blocked_writer_goes_on_when_there_is_room(loop, pair):
    left, right = pair
    filled = fill(left)

    async def drain():
        sending = loop.create_task(loop.sock_sendall(left, b'end'))
        await turns(2)
        assert not sending.done()
        received = b''
        while not received.endswith(b'end'):
            received += await loop.sock_recv(right, 1_000_000)
        await sending
        return len(received)

    assert loop.run_until_complete(drain()) == filled + 3


def calls_on(loop, sock):
    buffer = bytearray(1)
    yield loop.sock_recv(sock, 1)
    yield loop.sock_recv_into(sock, buffer)
    yield loop.sock_recvfrom(sock, 1)
    yield loop.sock_recvfrom_into(sock, buffer)
    yield loop.sock_sendall(sock, b'a')
    yield loop.sock_sendto(sock, b'a', ('127.0.0.1', 1))
    yield loop.sock_accept(sock)
    yield loop.sock_connect(sock, ('127.0.0.1', 1))


def test_debug_mode_refuses_blocking_sockets(loop, pair):
    left, _ = pair
    left.setblocking(True)
    loop.set_debug(True)

    for call in calls_on(loop, left):
        with pytest.raises(ValueError, match=r'the socket must be non-block'):
            loop.run_until_complete(call)


# sock_sendfile


@pytest.mark.parametrize(
    ('offset', 'count'), [(0, None), (1000, None), (5, 2_000_000)]
)
def test_sock_sendfile_sends_that_part_of_the_file(loop, pair, offset, count):
    left, right = pair
    data = os.urandom(3_000_000)
    wanted = data[offset:][:count]

    async def receive():
        received = bytearray()
        while len(received) < len(wanted):
            received += await loop.sock_recv(right, 1_000_000)
        return received

    async def talk(file):
        return await asyncio.gather(
            loop.sock_sendfile(left, file, offset, count), receive()
        )

    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        sent = loop.run_until_complete(talk(file))
        assert file.tell() == offset + len(wanted)

    assert sent == [len(wanted), wanted]


@pytest.mark.parametrize(
    ('arguments', 'error'),
    [
        ((0, 0), ValueError),
        ((0, 1.0), TypeError),
        ((-1, None), ValueError),
        ((1.0, None), TypeError),
    ],
)
def test_sock_sendfile_checks_its_arguments(loop, pair, arguments, error):
    with tempfile.TemporaryFile() as file:
        with pytest.raises(error, match=r'must be a'):
            loop.run_until_complete(
                loop.sock_sendfile(pair[0], file, *arguments)
            )
