"""loop.sendfile: over TCP by the kernel, over TLS by reading and writing."""

from __future__ import annotations

import asyncio
import io
import os
import sys
import threading

import pytest

from tests.uvloop_core.peers import (
    Recorder,
    peer_of,
    receive_all,
    reset,
    small_buffers,
    tcp_pair,
)
from uvloop_core import Loop

DATA = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture
def file(tmp_path):
    path = tmp_path / 'file'
    path.write_bytes(DATA)
    with path.open('rb') as file:
        yield file


@pytest.fixture
def peer(loop):
    """A transport, its protocol, and the socket at the other end."""
    with peer_of(loop) as made:
        yield made


@pytest.fixture
def our_peer(our_loop):
    with peer_of(our_loop) as made:
        yield made


class Receiver(threading.Thread):
    """Receives all that comes until the end."""

    def __init__(self, sock):
        super().__init__()
        self.sock = sock
        self.data = b''
        self.start()

    def run(self):
        self.data = receive_all(self.sock)


def spin(loop, turns=3):
    for _ in range(turns):
        loop.call_soon(loop.stop)
        loop.run_forever()


def send(loop, transport, *args, **kwargs):
    return loop.run_until_complete(
        asyncio.wait_for(loop.sendfile(transport, *args, **kwargs), 30)
    )


def received(loop, transport, receiver):
    """All that was sent, once the transport has ended its side."""
    transport.write_eof()
    loop.run_until_complete(loop.run_in_executor(None, receiver.join))
    return receiver.data


@pytest.fixture
def forbids_fallback(monkeypatch):
    """The kernel has to do it."""
    for name in ('_sendfile_by_writing', '_sendfile_by_reading'):
        monkeypatch.setattr(Loop, name, None)


def test_a_file_is_sent(loop, peer, file, forbids_fallback):
    transport, _, other = peer
    small_buffers(transport.get_extra_info('socket'))
    receiver = Receiver(other)

    sent = send(loop, transport, file)

    assert sent == len(DATA)
    assert received(loop, transport, receiver) == DATA
    assert file.tell() == len(DATA)


def test_a_part_of_it(loop, peer, file):
    transport, _, other = peer
    receiver = Receiver(other)

    sent = send(loop, transport, file, 1000, 100)

    assert sent == 100
    assert file.tell() == 1100
    assert received(loop, transport, receiver) == DATA[1000:1100]


def test_past_the_end_nothing_is_sent(loop, peer, file):
    transport, _, other = peer

    assert send(loop, transport, file, len(DATA) + 1) == 0
    # Until 3.14 nothing sent was nothing done.
    at = 0 if sys.version_info < (3, 14) else len(DATA) + 1
    assert file.tell() == at


@pytest.mark.skipif(
    sys.version_info < (3, 14), reason="from the file's own position, then"
)
@pytest.mark.parametrize('in_memory', [False, True])
def test_the_offset_counts_from_the_files_beginning(
    loop, peer, file, in_memory
):
    transport, _, other = peer
    receiver = Receiver(other)
    if in_memory:  # which the kernel cannot send
        file = io.BytesIO(DATA)
    file.seek(123)

    assert send(loop, transport, file) == len(DATA)

    assert file.tell() == len(DATA)
    assert received(loop, transport, receiver) == DATA


def test_an_empty_file(loop, peer, tmp_path):
    path = tmp_path / 'empty'
    path.touch()
    with path.open('rb') as file:
        assert send(loop, peer[0], file) == 0


def test_it_stands_between_the_writes_around_it(loop, peer, file):
    transport, _, other = peer
    small_buffers(transport.get_extra_info('socket'))
    before, after = os.urandom(500_000), os.urandom(500_000)
    receiver = Receiver(other)

    transport.write(before)
    send(loop, transport, file)
    transport.write(after)

    assert received(loop, transport, receiver) == before + DATA + after


def test_nobody_else_writes_meanwhile(loop, peer, file):
    transport, _, other = peer
    small_buffers(transport.get_extra_info('socket'))
    task = loop.create_task(loop.sendfile(transport, file))
    spin(loop)

    with pytest.raises(RuntimeError, match='sendfile is in progress'):
        transport.write(b'spam')
    receiver = Receiver(other)
    loop.run_until_complete(task)

    assert received(loop, transport, receiver) == DATA


def test_writelines_meanwhile(our_loop, our_peer, file):
    transport, _, other = our_peer
    small_buffers(transport.get_extra_info('socket'))
    task = our_loop.create_task(our_loop.sendfile(transport, file))
    spin(our_loop)

    with pytest.raises(RuntimeError, match='unable to writelines'):
        transport.writelines([b'spam'])
    with pytest.raises(RuntimeError, match='in progress'):
        send(our_loop, transport, file)
    receiver = Receiver(other)
    our_loop.run_until_complete(task)

    assert received(our_loop, transport, receiver) == DATA


def test_once_it_has_begun_nothing_is_received(loop, peer, file):
    transport, protocol, other = peer
    small_buffers(transport.get_extra_info('socket'))
    sending = loop.sendfile(transport, file)
    sizes = []

    def begin(data):
        sizes.append(len(data))
        sending.send(None)  # as an eager task does

    protocol.data_received = begin
    other.send(bytes(500_000))
    spin(loop)

    assert len(sizes) == 1
    sending.close()
    transport.abort()
    spin(loop)


def test_what_the_peer_sends_meanwhile_is_received_after(loop, peer, file):
    transport, protocol, other = peer
    small_buffers(transport.get_extra_info('socket'))
    task = loop.create_task(loop.sendfile(transport, file))
    spin(loop)

    other.send(b'spam')
    spin(loop)
    meanwhile = bytes(protocol.data)
    receiver = Receiver(other)
    loop.run_until_complete(task)
    loop.run_until_complete(protocol.until_size(4))

    assert (meanwhile, bytes(protocol.data)) == (b'', b'spam')
    assert received(loop, transport, receiver) == DATA


def test_resume_reading_meanwhile_waits_for_its_end(our_loop, our_peer, file):
    transport, protocol, other = our_peer
    small_buffers(transport.get_extra_info('socket'))
    task = our_loop.create_task(our_loop.sendfile(transport, file))
    spin(our_loop)

    transport.pause_reading()
    transport.resume_reading()
    other.send(b'spam')
    receiver = Receiver(other)
    our_loop.run_until_complete(task)
    our_loop.run_until_complete(protocol.until_size(4))

    assert received(our_loop, transport, receiver) == DATA


def test_a_paused_transport_stays_paused(loop, peer, file):
    transport, protocol, other = peer
    transport.pause_reading()
    receiver = Receiver(other)

    send(loop, transport, file)
    other.send(b'spam')
    spin(loop)

    assert not transport.is_reading()
    assert protocol.data == b''
    assert received(loop, transport, receiver) == DATA


def test_the_peer_goes_in_the_middle(loop, peer, file):
    transport, protocol, other = peer
    small_buffers(transport.get_extra_info('socket'))
    task = loop.create_task(loop.sendfile(transport, file))
    spin(loop)

    other.recv(1000)
    reset(other)
    with pytest.raises(ConnectionError):
        loop.run_until_complete(asyncio.wait_for(task, 30))
    loop.run_until_complete(protocol.lost.wait())

    assert 0 < file.tell() < len(DATA)


@pytest.mark.parametrize('how', ['close', 'abort'])
def test_the_transport_is_closed_in_the_middle(our_loop, our_peer, file, how):
    transport, protocol, _ = our_peer
    small_buffers(transport.get_extra_info('socket'))
    task = our_loop.create_task(our_loop.sendfile(transport, file))
    spin(our_loop)

    getattr(transport, how)()
    with pytest.raises(ConnectionError):
        our_loop.run_until_complete(asyncio.wait_for(task, 30))

    assert protocol.calls == ['connection_made', 'connection_lost']


def test_cancelled_in_the_middle_the_connection_lives(loop, peer, file):
    transport, protocol, other = peer
    small_buffers(transport.get_extra_info('socket'))
    task = loop.create_task(loop.sendfile(transport, file))
    spin(loop)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    transport.write(b'end')
    receiver = Receiver(other)
    other.send(b'spam')
    loop.run_until_complete(protocol.until_size(4))

    data = received(loop, transport, receiver)
    assert data.endswith(b'end')
    assert 0 < len(data) < len(DATA)
    assert DATA.startswith(data[:-3])


def test_cancelled_the_file_tells_how_far_it_came(our_loop, our_peer, file):
    transport, _, other = our_peer
    small_buffers(transport.get_extra_info('socket'))
    task = our_loop.create_task(our_loop.sendfile(transport, file))
    spin(our_loop)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        our_loop.run_until_complete(task)
    receiver = Receiver(other)

    data = received(our_loop, transport, receiver)
    assert file.tell() == len(data) > 0


def test_cancelled_before_it_began(loop, peer, file):
    transport, protocol, other = peer
    small_buffers(transport.get_extra_info('socket'))
    before = os.urandom(3_000_000)
    transport.write(before)
    task = loop.create_task(loop.sendfile(transport, file))
    spin(loop)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    receiver = Receiver(other)
    if not isinstance(loop, Loop):
        transport._reset_empty_waiter()  # asyncio forgets to

    transport.write(b'end')

    assert received(loop, transport, receiver) == before + b'end'


def test_lost_before_it_began(our_loop, our_peer, file):
    transport, _, other = our_peer
    small_buffers(transport.get_extra_info('socket'))
    transport.write(bytes(10_000_000))
    task = our_loop.create_task(our_loop.sendfile(transport, file))
    spin(our_loop)

    reset(other)
    with pytest.raises(ConnectionError):
        our_loop.run_until_complete(asyncio.wait_for(task, 30))

    assert file.tell() == 0


def test_a_closing_transport_is_refused(loop, peer, file):
    transport, _, _ = peer
    transport.close()

    with pytest.raises(RuntimeError, match='Transport is closing'):
        send(loop, transport, file)


@pytest.mark.parametrize(
    ('arguments', 'error', 'text'),
    [
        ((-1,), ValueError, 'offset must be a non-negative integer'),
        (('0',), TypeError, 'offset must be a non-negative integer'),
        ((0, 0), ValueError, 'count must be a positive integer'),
        ((0, 'x'), TypeError, 'count must be a positive integer'),
    ],
)
def test_wrong_arguments(loop, peer, file, arguments, error, text):
    with pytest.raises(error, match=text):
        send(loop, peer[0], file, *arguments)

    peer[0].write(b'alive')
    assert peer[2].recv(100) == b'alive'


def test_a_file_in_text_mode(loop, peer, file):
    with open(file.name) as text, pytest.raises(ValueError, match='binary'):
        send(loop, peer[0], text)


# Without the kernel


def test_a_file_in_memory_is_read_and_written(loop, peer):
    transport, _, other = peer
    small_buffers(transport.get_extra_info('socket'))
    receiver = Receiver(other)
    file = io.BytesIO(DATA)

    sent = send(loop, transport, file, 10, len(DATA) - 20)

    assert sent == len(DATA) - 20
    assert file.tell() == len(DATA) - 10
    assert received(loop, transport, receiver) == DATA[10:-10]


def test_a_file_in_memory_without_fallback(loop, peer):
    with pytest.raises(asyncio.SendfileNotAvailableError):
        send(loop, peer[0], io.BytesIO(DATA), fallback=False)


def test_the_protocol_is_told_of_a_full_buffer_once_it_is_back(our_loop):
    with peer_of(our_loop) as (transport, protocol, other):
        small_buffers(transport.get_extra_info('socket'))
        small_buffers(other)
        transport.set_write_buffer_limits(high=10)
        data = b'x' * 64 * 1024 * 50
        task = our_loop.create_task(
            our_loop.sendfile(transport, io.BytesIO(data), count=None)
        )
        receiver = Receiver(other)
        our_loop.run_until_complete(task)

        assert received(our_loop, transport, receiver) == data
        assert transport.get_protocol() is protocol
        pauses = protocol.calls.count('pause_writing')
        assert protocol.calls.count('resume_writing') == pauses


def test_the_peer_goes_while_it_is_written(loop, peer):
    transport, protocol, other = peer
    small_buffers(transport.get_extra_info('socket'))
    file = io.BytesIO(DATA * 8)
    task = loop.create_task(loop.sendfile(transport, file))
    spin(loop, 20)

    reset(other)
    with pytest.raises(ConnectionError):
        loop.run_until_complete(asyncio.wait_for(task, 30))
    loop.run_until_complete(protocol.lost.wait())

    assert protocol.calls.count('connection_lost') == 1


def test_datagrams_have_no_sendfile(loop, file):
    async def main():
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, ('127.0.0.1', 0)
        )
        try:
            await loop.sendfile(transport, file)
        finally:
            transport.close()

    with pytest.raises(RuntimeError, match='not supported for transport'):
        loop.run_until_complete(main())
    spin(loop)


def test_a_fallback_transport_without_fallback(loop, file):
    class Transport:
        _sendfile_compatible = asyncio.constants._SendfileMode.FALLBACK

        def is_closing(self):
            return False

    with pytest.raises(RuntimeError, match='fallback is disabled'):
        send(loop, Transport(), file, fallback=False)


# The hold itself


def test_only_the_holder_can_let_go(our_loop, our_peer):
    transport = our_peer[0]
    one, two = our_loop.create_future(), our_loop.create_future()

    transport._hold(None, one)
    for before, holder in ((None, two), (two, None), (two, two)):
        with pytest.raises(RuntimeError, match='in progress'):
            transport._hold(before, holder)
    transport._hold(one, two)
    transport._hold(two, None)
    with pytest.raises(TypeError):
        transport._hold(one)

    transport.write(b'spam')
    assert our_peer[2].recv(100) == b'spam'


def test_a_held_transport_whose_loop_is_closed(our_loop):
    one, other = tcp_pair()
    with one, other:
        one.setblocking(False)
        transport, _ = our_loop.run_until_complete(
            our_loop.create_connection(Recorder, sock=one)
        )
        future = our_loop.create_future()
        transport._hold(None, future)

        with pytest.warns(ResourceWarning, match='unclosed transport'):
            our_loop.close()

    assert not future.done()
