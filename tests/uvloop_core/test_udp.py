"""Datagrams: create_datagram_endpoint and its transport."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import os
import socket
import subprocess
import sys

import pytest

from uvloop_core import _core

# What 3.13 changed: empty datagrams are sent, each counts 8 bytes more.
MODERN = sys.version_info >= (3, 13)
HEADER = 8 if MODERN else 0
LOOPBACK = ('127.0.0.1', 0)


class Recorder(asyncio.DatagramProtocol):
    """Remembers what it was told; `raises` names a call that shall fail."""

    def __init__(self, raises=''):
        self.calls = []
        self.received = []
        self.errors = []
        self.raises = raises
        self.transport = None
        self.lost = asyncio.Event()
        self.changed = asyncio.Event()

    def note(self, name):
        self.calls.append(name)
        self.changed.set()
        if name == self.raises:
            raise ZeroDivisionError(name)

    def connection_made(self, transport):
        self.transport = transport
        self.note('connection_made')

    def datagram_received(self, data, addr):
        self.received.append((data, addr))
        self.note('datagram_received')

    def error_received(self, exc):
        self.errors.append(exc)
        self.note('error_received')

    def connection_lost(self, exc):
        self.error = exc
        self.lost.set()
        self.note('connection_lost')

    def pause_writing(self):
        self.note('pause_writing')

    def resume_writing(self):
        self.note('resume_writing')

    def data(self):
        return [data for data, _ in self.received]

    async def until(self, condition):
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    async def until_count(self, count):
        await self.until(lambda: len(self.received) >= count)


@pytest.fixture
def endpoint(loop):
    """Makes endpoints: their transport and protocol; closes them."""
    yield from endpoints_of(loop)


@pytest.fixture
def our_endpoint(our_loop):
    yield from endpoints_of(our_loop)


def endpoints_of(loop):
    made = []

    def make(protocol=None, **arguments):
        protocol = protocol or Recorder()
        if not arguments:
            arguments['local_addr'] = LOOPBACK
        transport, _ = loop.run_until_complete(
            loop.create_datagram_endpoint(lambda: protocol, **arguments)
        )
        made.append((transport, protocol))
        return transport, protocol

    yield make
    if loop.is_closed():
        return
    for transport, protocol in made:
        if not transport.is_closing():
            transport.abort()
        loop.run_until_complete(protocol.lost.wait())


@pytest.fixture
def peer():
    """A bound, blocking socket to talk with."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(LOOPBACK)
        sock.settimeout(10)
        yield sock


def spin(loop, turns=3):
    for _ in range(turns):
        loop.call_soon(loop.stop)
        loop.run_forever()


def name_of(transport):
    return transport.get_extra_info('sockname')


# Receiving and sending


def test_a_datagram_comes_with_its_sender(loop, endpoint, peer):
    transport, protocol = endpoint()

    peer.sendto(b'spam', name_of(transport))
    loop.run_until_complete(protocol.until_count(1))

    assert protocol.received == [(b'spam', peer.getsockname())]


def test_a_datagram_goes_to_its_address(endpoint, peer):
    transport, _ = endpoint()

    transport.sendto(b'spam', peer.getsockname())

    assert peer.recvfrom(100) == (b'spam', name_of(transport))


def test_two_endpoints_talk(loop, endpoint):
    class Echo(Recorder):
        def datagram_received(self, data, addr):
            self.transport.sendto(b'>' + data, addr)

    server, _ = endpoint(Echo())
    client, protocol = endpoint(remote_addr=name_of(server))

    for number in range(50):
        client.sendto(b'%d' % number)
    loop.run_until_complete(protocol.until_count(50))

    assert protocol.data() == [b'>%d' % number for number in range(50)]
    assert {addr for _, addr in protocol.received} == {name_of(server)}


def test_more_datagrams_than_a_batch_keep_their_order(loop, endpoint, peer):
    transport, protocol = endpoint()
    expected = [b'%d' % number * 10 for number in range(100)]

    for data in expected:
        peer.sendto(data, name_of(transport))
    loop.run_until_complete(protocol.until_count(100))

    assert protocol.data() == expected


def test_bursts_of_all_sizes_come_whole_and_in_order(loop, endpoint, peer):
    transport, protocol = endpoint()
    expected = []

    for size in (1, 30, *[1] * 200, 50, 2, 7, 1):
        for _ in range(size):
            expected.append(b'%d' % len(expected))
            peer.sendto(expected[-1], name_of(transport))
        loop.run_until_complete(protocol.until_count(len(expected)))

    assert protocol.data() == expected


def test_senders_that_alternate_are_told_apart(loop, endpoint, peer):
    transport, protocol = endpoint()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(LOOPBACK)
        for sock in (peer, other, peer, peer, other):
            sock.sendto(b'', name_of(transport))
        loop.run_until_complete(protocol.until_count(5))

        one, two = peer.getsockname(), other.getsockname()
    assert protocol.received == [
        (b'', each) for each in (one, two, one, one, two)
    ]


def test_the_biggest_datagram_arrives_whole(loop, endpoint):
    transport, protocol = endpoint()
    sender, _ = endpoint(remote_addr=name_of(transport))
    data = os.urandom(65507)

    sender.sendto(data)
    loop.run_until_complete(protocol.until_count(1))

    assert protocol.data() == [data]


def test_a_datagram_that_is_too_big_is_an_error_received(endpoint, peer):
    transport, protocol = endpoint()

    transport.sendto(bytes(65508), peer.getsockname())

    assert [error.errno for error in protocol.errors] == [errno.EMSGSIZE]
    assert not transport.is_closing()


@pytest.mark.parametrize('make', [bytes, bytearray, memoryview])
def test_each_kind_of_buffer_is_sent(endpoint, peer, make):
    transport, _ = endpoint()

    transport.sendto(make(b'spam'), peer.getsockname())

    assert peer.recv(100) == b'spam'


def test_what_is_no_buffer_is_refused(endpoint, peer):
    transport, _ = endpoint()

    with pytest.raises(TypeError, match="bytes-like object, not 'str'"):
        transport.sendto('spam', peer.getsockname())


def test_arguments_may_be_named(endpoint, peer):
    transport, _ = endpoint()

    transport.sendto(data=b'spam', addr=peer.getsockname())

    assert peer.recv(100) == b'spam'


def test_an_empty_datagram_is_sent_from_3_13_on(endpoint, peer):
    transport, _ = endpoint()

    transport.sendto(b'', peer.getsockname())
    transport.sendto(b'end', peer.getsockname())

    received = [peer.recv(100)]
    if MODERN:
        received.append(peer.recv(100))
    assert received == ([b'', b'end'] if MODERN else [b'end'])


def test_an_empty_datagram_is_received(loop, endpoint, peer):
    transport, protocol = endpoint()

    peer.sendto(b'', name_of(transport))
    loop.run_until_complete(protocol.until_count(1))

    assert protocol.data() == [b'']


@pytest.mark.skipif(not socket.has_ipv6, reason='no IPv6')
def test_ipv6_addresses_have_four_parts(loop, endpoint):
    try:
        transport, protocol = endpoint(local_addr=('::1', 0))
    except OSError:
        pytest.skip('no IPv6 loopback')
    client, _ = endpoint(remote_addr=name_of(transport)[:2])

    client.sendto(b'spam')
    loop.run_until_complete(protocol.until_count(1))

    assert protocol.received == [(b'spam', name_of(client))]
    assert len(name_of(client)) == 4


# Addresses


def test_with_remote_addr_another_address_is_refused(endpoint, peer):
    transport, _ = endpoint(remote_addr=peer.getsockname())
    host, port = peer.getsockname()

    transport.sendto(b'spam', (host, port))
    with pytest.raises(ValueError) as caught:
        transport.sendto(b'spam', (host, port - 1))

    assert peer.recv(100) == b'spam'
    assert str(caught.value) == (
        f'Invalid address: must be None or {(host, port)}'
    )


def test_a_connected_socket_needs_no_address(endpoint, peer):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(peer.getsockname())
        transport, _ = endpoint(sock=sock)

        transport.sendto(b'spam')

        assert peer.recv(100) == b'spam'
        assert transport.get_extra_info('peername') == peer.getsockname()


def test_allow_broadcast_does_not_connect(loop, endpoint, peer):
    transport, protocol = endpoint(
        remote_addr=peer.getsockname(), allow_broadcast=True
    )
    sock = transport.get_extra_info('socket')

    transport.sendto(b'one')
    transport.sendto(b'two', peer.getsockname())

    assert [peer.recv(100), peer.recv(100)] == [b'one', b'two']
    assert transport.get_extra_info('peername') is None
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)


@pytest.mark.parametrize(
    'addr',
    [
        ('example.com', 80),
        ('::1', 80),
        ('127.0.0.1\0', 80),
        ('\ud800', 80),
        ['127.0.0.1', 80],
        ('127.0.0.1',),
        ('127.0.0.1', '80'),
        ('127.0.0.1', 80, 0),
        'x',
        5,
        (),
    ],
)
def test_an_address_that_would_have_to_be_looked_up(our_endpoint, addr):
    transport, protocol = our_endpoint()

    with pytest.raises(ValueError, match='DNS lookup is required'):
        transport.sendto(b'spam', addr)

    assert protocol.calls == ['connection_made']


def test_an_address_is_needed_if_there_is_no_peer(our_endpoint):
    transport, protocol = our_endpoint()

    with pytest.raises(ValueError, match='addr is required'):
        transport.sendto(b'spam')

    assert not transport.is_closing()


def test_a_port_that_is_none(our_endpoint):
    transport, _ = our_endpoint()

    with pytest.raises(OverflowError, match='port must be 0-65535'):
        transport.sendto(b'spam', ('127.0.0.1', 65536))


def test_special_hosts_are_not_looked_up(our_endpoint, peer):
    transport, protocol = our_endpoint(
        local_addr=('0.0.0.0', 0), allow_broadcast=True
    )
    port = peer.getsockname()[1]

    transport.sendto(b'spam', ('', port))  # any is this machine
    transport.sendto(b'eggs', ('127.1', port))
    transport.sendto(b'lost', ('<broadcast>', port))

    assert [peer.recv(100), peer.recv(100)] == [b'spam', b'eggs']


@pytest.mark.skipif(not socket.has_ipv6, reason='no IPv6')
def test_an_address_with_a_zone(our_loop, our_endpoint):
    try:
        transport, protocol = our_endpoint(local_addr=('::1', 0))
    except OSError:
        pytest.skip('no IPv6 loopback')
    port = name_of(transport)[1]

    with pytest.raises(ValueError, match='DNS'):
        transport.sendto(b'spam', ('::1%nowhere', port))
    transport.sendto(b'spam', ('::1', port, 0, 0))
    our_loop.run_until_complete(protocol.until_count(1))

    assert protocol.data() == [b'spam']


# Errors


def test_nobody_listens(loop, endpoint, peer):
    transport, protocol = endpoint(remote_addr=peer.getsockname())
    peer.close()

    transport.sendto(b'spam')
    loop.run_until_complete(protocol.until(lambda: protocol.errors))

    assert isinstance(protocol.errors[0], ConnectionRefusedError)
    assert not transport.is_closing()


def test_datagram_received_raises(loop, endpoint, peer, reports):
    transport, protocol = endpoint(Recorder(raises='datagram_received'))

    for data in (b'one', b'two', b'three'):
        peer.sendto(data, name_of(transport))
    loop.run_until_complete(protocol.until_count(3))
    spin(loop)

    assert protocol.data() == [b'one', b'two', b'three']
    told = reports.take()
    assert [type(each['exception']) for each in told] == [
        ZeroDivisionError
    ] * 3
    assert all('_read_ready' in each['message'] for each in told)
    assert not transport.is_closing()


def test_error_received_raises_out_of_sendto(endpoint, peer):
    transport, protocol = endpoint(Recorder(raises='error_received'))

    with pytest.raises(ZeroDivisionError):
        transport.sendto(bytes(70000), peer.getsockname())

    assert not transport.is_closing()


def test_error_received_raises_while_receiving(loop, endpoint, peer, reports):
    transport, protocol = endpoint(
        Recorder(raises='error_received'), remote_addr=peer.getsockname()
    )
    peer.close()

    transport.sendto(b'spam')
    loop.run_until_complete(protocol.until(lambda: protocol.errors))
    spin(loop)

    assert isinstance(reports.take()[0]['exception'], ZeroDivisionError)
    assert not transport.is_closing()


def test_an_interrupt_loses_no_datagram(loop, endpoint, peer):
    class Interrupted(Recorder):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            if data == b'1':
                raise KeyboardInterrupt

    transport, protocol = endpoint(Interrupted())
    for number in range(5):
        peer.sendto(b'%d' % number, name_of(transport))

    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(protocol.until_count(5))
    loop.run_until_complete(protocol.until_count(5))
    spin(loop)

    assert protocol.data() == [b'%d' % number for number in range(5)]


# Closing


def test_connection_lost_is_called_once(loop, endpoint):
    transport, protocol = endpoint()

    transport.close()
    transport.close()
    transport.abort()
    loop.run_until_complete(protocol.lost.wait())
    spin(loop)

    assert protocol.calls == ['connection_made', 'connection_lost']
    assert protocol.error is None
    assert transport.get_extra_info('socket').fileno() == -1


def test_nothing_is_received_after_close(loop, endpoint, peer):
    class Closing(Recorder):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            self.transport.close()

    transport, protocol = endpoint(Closing())
    for _ in range(3):
        peer.sendto(b'spam', name_of(transport))

    loop.run_until_complete(protocol.lost.wait())

    assert protocol.data() == [b'spam']


def test_sendto_after_the_end_is_dropped(loop, endpoint, peer, caplog):
    transport, protocol = endpoint(remote_addr=peer.getsockname())
    transport.close()
    loop.run_until_complete(protocol.lost.wait())

    for _ in range(10):
        transport.sendto(b'spam')

    assert 'socket.send() raised exception.' in caplog.text
    peer.setblocking(False)
    with pytest.raises(BlockingIOError):
        peer.recv(100)


def test_without_a_peer_it_may_send_until_connection_lost(
    loop, endpoint, peer
):
    transport, protocol = endpoint()

    transport.close()
    transport.sendto(b'last words', peer.getsockname())
    loop.run_until_complete(protocol.lost.wait())

    assert peer.recv(100) == b'last words'


def test_each_error_is_told_also_after_the_first_one_closed_it(
    loop, endpoint, peer
):
    class Closing(Recorder):
        def error_received(self, exc):
            super().error_received(exc)
            self.transport.close()

    transport, protocol = endpoint(Closing())
    for _ in range(2):
        transport.sendto(bytes(70000), peer.getsockname())
    loop.run_until_complete(protocol.lost.wait())

    assert len(protocol.errors) == 2


def test_the_sockname_stays_after_close(loop, endpoint):
    transport, protocol = endpoint()
    name = name_of(transport)

    transport.close()
    loop.run_until_complete(protocol.lost.wait())

    assert name_of(transport) == name


def test_a_loop_closed_under_a_transport_warns(our_loop, our_endpoint):
    transport, protocol = our_endpoint()

    with pytest.warns(ResourceWarning, match='unclosed transport'):
        our_loop.close()

    assert protocol.calls == ['connection_made']
    assert transport.get_extra_info('socket').fileno() == -1


def test_close_in_connection_made(loop, endpoint):
    class Closing(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.close()

    transport, protocol = endpoint(Closing())
    loop.run_until_complete(protocol.lost.wait())

    assert protocol.calls == ['connection_made', 'connection_lost']


# Flow control. A full UNIX socket makes its sender wait, unlike UDP.


@pytest.fixture
def full(loop, endpoint):
    """An endpoint whose peer has not read what fills it."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    other.settimeout(10)
    with one, other:
        # asyncio wants an address where it could do without.
        one.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                one.send(b'filler')
        transport, protocol = endpoint(sock=one)
        yield transport, protocol, other


@pytest.fixture
def our_full(our_loop, our_endpoint):
    yield from full.__wrapped__(our_loop, our_endpoint)


def read_all(sock, last):
    received = []
    while not received or received[-1] != last:
        data = sock.recv(1 << 20)
        if data != b'filler':
            received.append(data)
    return received


def test_what_the_kernel_does_not_take_is_sent_later(our_loop, our_full):
    transport, protocol, other = our_full
    expected = [b'%d' % number for number in range(200)]

    for data in expected:
        transport.sendto(data)
    size = transport.get_write_buffer_size()
    received = our_loop.run_until_complete(
        our_loop.run_in_executor(None, read_all, other, expected[-1])
    )

    assert size == sum(len(data) + HEADER for data in expected)
    assert received == expected
    assert transport.get_write_buffer_size() == 0
    assert protocol.calls == ['connection_made']


def test_a_full_buffer_pauses_and_an_empty_one_resumes(our_loop, our_full):
    transport, protocol, other = our_full
    transport.set_write_buffer_limits(high=100)

    transport.sendto(bytes(100 - HEADER))
    before = list(protocol.calls)
    transport.sendto(b'end')
    after = list(protocol.calls)
    our_loop.run_until_complete(
        our_loop.run_in_executor(None, read_all, other, b'end')
    )
    our_loop.run_until_complete(
        protocol.until(lambda: 'resume_writing' in protocol.calls)
    )

    assert before == ['connection_made']
    assert after == ['connection_made', 'pause_writing']


def test_a_mutable_buffer_is_copied(our_loop, our_full):
    transport, _, other = our_full
    data = bytearray(b'end')

    transport.sendto(data)
    data[:] = b'xxx!'
    received = our_loop.run_until_complete(
        our_loop.run_in_executor(None, read_all, other, b'end')
    )

    assert received == [b'end']


def test_close_sends_what_is_queued(our_loop, our_full):
    transport, protocol, other = our_full

    transport.sendto(b'one')
    transport.sendto(b'end')
    transport.close()
    spin(our_loop)
    lost_early = protocol.lost.is_set()
    received = our_loop.run_until_complete(
        our_loop.run_in_executor(None, read_all, other, b'end')
    )
    our_loop.run_until_complete(protocol.lost.wait())

    assert received == [b'one', b'end']
    assert not lost_early


def test_abort_drops_what_is_queued(our_loop, our_full):
    transport, protocol, other = our_full

    transport.sendto(b'one')
    transport.abort()
    size = transport.get_write_buffer_size()
    our_loop.run_until_complete(protocol.lost.wait())

    assert size == 0
    other.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            assert other.recv(100) == b'filler'


def test_a_peer_that_goes_while_datagrams_are_queued(our_loop, our_full):
    transport, protocol, other = our_full

    for _ in range(3):
        transport.sendto(b'spam')
    other.close()
    our_loop.run_until_complete(
        protocol.until(lambda: len(protocol.errors) >= 3)
    )
    spin(our_loop)

    assert isinstance(protocol.errors[0], ConnectionRefusedError)
    assert all(isinstance(error, OSError) for error in protocol.errors)
    assert transport.get_write_buffer_size() == 0


def test_the_limits_are_asyncios(endpoint):
    transport, _ = endpoint()

    assert transport.get_write_buffer_limits() == (16384, 65536)


# Pausing, which asyncio's datagram transports do not have


def test_a_paused_transport_keeps_what_it_has_received(
    our_loop, our_endpoint, peer
):
    class Pausing(Recorder):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            self.transport.pause_reading()

    transport, protocol = our_endpoint(Pausing())
    for number in range(3):
        peer.sendto(b'%d' % number, name_of(transport))

    counts = []
    for number in range(3):
        our_loop.run_until_complete(protocol.until_count(number + 1))
        spin(our_loop)
        counts.append(len(protocol.received))
        transport.resume_reading()

    assert counts == [1, 2, 3]
    assert protocol.data() == [b'0', b'1', b'2']


def test_a_paused_transport_can_be_closed(our_loop, our_endpoint, peer):
    class Pausing(Recorder):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            self.transport.pause_reading()

    transport, protocol = our_endpoint(Pausing())
    for _ in range(3):
        peer.sendto(b'spam', name_of(transport))
    our_loop.run_until_complete(protocol.until_count(1))

    transport.resume_reading()
    transport.close()
    our_loop.run_until_complete(protocol.lost.wait())

    assert len(protocol.received) == 1


def test_a_thousand_endpoints_leave_nothing(our_loop):
    async def use(number):
        call = our_loop.create_datagram_endpoint(Recorder, LOOPBACK)
        if number % 3 == 0:
            task = our_loop.create_task(call)
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            return
        transport, protocol = await call
        transport.sendto(b'spam', name_of(transport))
        if number % 3 == 1:
            await protocol.until_count(1)
            transport.close()
        else:
            transport.abort()
        await protocol.lost.wait()

    async def main():
        for number in range(1000):
            await use(number)

    our_loop.run_until_complete(main())

    assert our_loop._handles_opened > 600


# create_datagram_endpoint


@pytest.mark.parametrize(
    ('arguments', 'error', 'text'),
    [
        ({}, ValueError, 'unexpected address family'),
        ({'local_addr': 5}, TypeError, '2-tuple is expected'),
        ({'local_addr': ('127.0.0.1',)}, TypeError, '2-tuple is expected'),
        ({'remote_addr': ['a', 1]}, TypeError, '2-tuple is expected'),
        (
            {'local_addr': ('127.0.0.1', 0), 'remote_addr': ('::1', 1)},
            ValueError,
            'can not get address information',
        ),
        (
            {'family': socket.AF_UNIX, 'local_addr': b'x'},
            TypeError,
            'string is expected',
        ),
        ({'local_addr': ('192.0.2.1', 1)}, OSError, 'assign'),
    ],
)
def test_wrong_arguments(loop, arguments, error, text):
    with pytest.raises(error, match=text):
        loop.run_until_complete(
            loop.create_datagram_endpoint(Recorder, **arguments)
        )


def test_socket_and_modifiers_exclude_each_other(loop, peer):
    with pytest.raises(ValueError) as caught:
        loop.run_until_complete(
            loop.create_datagram_endpoint(
                Recorder, sock=peer, reuse_port=True, family=socket.AF_INET
            )
        )

    assert str(caught.value).endswith(
        'can not be used when sock is specified. (family=2, reuse_port=True)'
    )
    assert peer.gettimeout() == 10


def test_a_stream_socket_is_refused(loop):
    text = 'A datagram socket was' if MODERN else 'A UDP Socket was'
    with socket.socket() as sock, pytest.raises(ValueError, match=text):
        loop.run_until_complete(
            loop.create_datagram_endpoint(Recorder, sock=sock)
        )


def test_a_family_alone_is_enough(endpoint, peer):
    transport, _ = endpoint(family=socket.AF_INET)

    transport.sendto(b'spam', peer.getsockname())

    assert peer.recv(100) == b'spam'


def test_reuse_port_lets_two_bind(endpoint):
    one, _ = endpoint(local_addr=LOOPBACK, reuse_port=True)
    two, _ = endpoint(local_addr=name_of(one), reuse_port=True)

    assert name_of(one) == name_of(two)


def test_an_address_in_use(loop, endpoint):
    transport, _ = endpoint()

    with pytest.raises(OSError) as caught:
        loop.run_until_complete(
            loop.create_datagram_endpoint(
                Recorder, local_addr=name_of(transport)
            )
        )

    assert caught.value.errno == errno.EADDRINUSE


def test_so_reuseaddr_is_not_set(endpoint):
    transport, _ = endpoint()
    sock = transport.get_extra_info('socket')

    assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)


def test_reuse_address_is_refused(our_loop):
    with pytest.raises(ValueError, match='no longer supported'):
        our_loop.run_until_complete(
            our_loop.create_datagram_endpoint(
                Recorder, LOOPBACK, reuse_address=True
            )
        )


def test_reuse_address_false_warns(our_endpoint):
    with pytest.warns(DeprecationWarning, match='reuse_address'):
        our_endpoint(local_addr=LOOPBACK, reuse_address=False)


def test_a_factory_that_raises_leaves_no_socket(our_loop):
    def fail():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        our_loop.run_until_complete(
            our_loop.create_datagram_endpoint(fail, LOOPBACK)
        )


def test_a_cancelled_call_closes_its_transport(loop):
    class Cancelling(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            task.cancel()

    protocol = Cancelling()
    task = loop.create_task(
        loop.create_datagram_endpoint(lambda: protocol, LOOPBACK)
    )

    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.run_until_complete(protocol.lost.wait())

    assert protocol.calls == ['connection_made', 'connection_lost']


def test_callbacks_run_in_the_context_of_the_call(our_loop, peer):
    variable = contextvars.ContextVar('variable', default='')
    seen = []

    class Protocol(Recorder):
        def note(self, name):
            seen.append((name, variable.get()))
            super().note(name)

    async def main():
        variable.set('set')
        protocol = Protocol()
        transport, _ = await our_loop.create_datagram_endpoint(
            lambda: protocol, LOOPBACK
        )
        variable.set('changed')
        peer.sendto(b'spam', name_of(transport))
        await protocol.until_count(1)
        transport.sendto(bytes(70000), peer.getsockname())
        transport.close()
        await protocol.lost.wait()

    our_loop.run_until_complete(main())

    assert seen == [
        ('connection_made', 'set'),
        ('datagram_received', 'set'),
        ('error_received', 'set'),
        ('connection_lost', 'set'),
    ]


# AF_UNIX


@pytest.fixture
def unix(tmp_path):
    """Paths for sockets that are short enough."""
    folder = os.getcwd()
    os.chdir(tmp_path)
    yield ('one', 'two')
    os.chdir(folder)


def test_unix_endpoints_talk(loop, endpoint, unix):
    one, protocol = endpoint(family=socket.AF_UNIX, local_addr='one')
    two, _ = endpoint(
        family=socket.AF_UNIX, local_addr='two', remote_addr='one'
    )

    two.sendto(b'spam')
    loop.run_until_complete(protocol.until_count(1))

    assert protocol.received == [(b'spam', 'two')]
    assert two.get_extra_info('peername') == 'one'


def test_a_unix_address_given_with_each_datagram(loop, endpoint, unix):
    one, protocol = endpoint(family=socket.AF_UNIX, local_addr='one')
    two, _ = endpoint(family=socket.AF_UNIX, local_addr='two')

    two.sendto(b'spam', 'one')
    two.sendto(b'eggs', 'one')
    loop.run_until_complete(protocol.until_count(2))

    assert protocol.received == [(b'spam', 'two'), (b'eggs', 'two')]


def test_a_stale_unix_socket_is_replaced(endpoint, unix):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind('one')

    transport, _ = endpoint(family=socket.AF_UNIX, local_addr='one')

    assert name_of(transport) == 'one'


def test_a_file_is_not_replaced_by_a_unix_socket(loop, unix):
    with open('one', 'w'):
        pass

    with pytest.raises(OSError) as caught:
        loop.run_until_complete(
            loop.create_datagram_endpoint(
                Recorder, family=socket.AF_UNIX, local_addr='one'
            )
        )

    assert caught.value.errno == errno.EADDRINUSE
    assert os.path.isfile('one')


def test_a_big_unix_datagram_arrives_whole(loop, endpoint, unix):
    one, protocol = endpoint(family=socket.AF_UNIX, local_addr='one')
    two, _ = endpoint(family=socket.AF_UNIX, remote_addr='one')
    data = os.urandom(150_000)

    two.sendto(data)
    loop.run_until_complete(protocol.until_count(1))

    assert protocol.received == [(data, None)]


def test_a_unix_address_that_is_not_there(endpoint, unix):
    transport, protocol = endpoint(family=socket.AF_UNIX, local_addr='one')

    transport.sendto(b'spam', 'nowhere')

    assert isinstance(protocol.errors[0], FileNotFoundError)
    assert not transport.is_closing()


@pytest.mark.skipif(sys.platform != 'linux', reason='Linux has them')
def test_an_abstract_unix_address(loop, endpoint):
    name = f'\0httptools-uv-{os.getpid()}'
    one, protocol = endpoint(family=socket.AF_UNIX, local_addr=name)
    two, _ = endpoint(family=socket.AF_UNIX, remote_addr=name)

    two.sendto(b'spam')
    loop.run_until_complete(protocol.until_count(1))

    assert protocol.data() == [b'spam']
    assert name_of(one) == name.encode()


# The transport


def test_it_is_a_datagram_transport(endpoint):
    transport, _ = endpoint()

    assert isinstance(transport, asyncio.Transport)
    if sys.version_info >= (3, 12):
        assert isinstance(transport, asyncio.DatagramTransport)


def test_its_repr_says_what_it_is(our_loop, our_endpoint):
    transport, protocol = our_endpoint()
    before = repr(transport)

    transport.close()
    our_loop.run_until_complete(protocol.lost.wait())

    assert before.startswith('<UDPTransport closed=False reading=True')
    assert repr(transport).startswith('<UDPTransport closed=True reading=Fal')


def test_the_socket_is_a_transport_socket(endpoint):
    transport, _ = endpoint()
    sock = transport.get_extra_info('socket')

    assert isinstance(sock, asyncio.trsock.TransportSocket)
    assert sock.type == socket.SOCK_DGRAM
    assert transport.get_extra_info('socket') is sock
    assert transport.get_extra_info('nothing', 5) == 5


def test_its_descriptor_is_not_for_others(loop, endpoint, peer):
    transport, _ = endpoint()
    fd = transport.get_extra_info('socket').fileno()

    with pytest.raises(RuntimeError, match='is used by transport'):
        loop.add_reader(fd, print)


def test_a_socket_that_has_a_transport_is_refused(our_loop, our_endpoint):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(LOOPBACK)
        our_endpoint(sock=sock)

        with pytest.raises(RuntimeError, match='is used by transport'):
            our_loop.run_until_complete(
                our_loop.create_datagram_endpoint(Recorder, sock=sock)
            )


def test_close_of_the_callers_socket_is_put_off(our_loop, our_endpoint, peer):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(LOOPBACK)
    transport, protocol = our_endpoint(sock=sock)

    sock.close()
    peer.sendto(b'spam', name_of(transport))
    our_loop.run_until_complete(protocol.until_count(1))

    assert protocol.data() == [b'spam']


def test_a_descriptor_closed_behind_its_back(our_loop, our_endpoint, peer):
    transport, protocol = our_endpoint()
    sock = transport.get_extra_info('socket')
    os.close(sock.fileno())

    transport.sendto(b'spam', peer.getsockname())
    spin(our_loop)
    transport.close()
    our_loop.run_until_complete(protocol.lost.wait())

    assert [error.errno for error in protocol.errors] == [errno.EBADF]


def test_a_protocol_can_be_replaced(loop, endpoint, peer):
    transport, first = endpoint()
    second = Recorder()

    transport.set_protocol(second)
    peer.sendto(b'spam', name_of(transport))
    loop.run_until_complete(second.until_count(1))
    transport.set_protocol(first)

    assert second.data() == [b'spam']
    assert first.received == []


def test_what_open_udp_refuses_is_still_the_callers(our_loop, peer):
    attempts = [
        ((None, peer, Recorder()), TypeError),
        ((our_loop, peer), TypeError),
        ((our_loop, 5, Recorder()), AttributeError),
        ((our_loop, peer, Recorder(), ('example.com', 1)), ValueError),
        ((our_loop, peer, Recorder(), None, None, 1), TypeError),
    ]
    for args, error in attempts:
        with pytest.raises(error):
            _core.open_udp(*args)

    assert peer._io_refs == 0
    assert our_loop._owner(peer.fileno()) is None


@pytest.mark.skipif(not hasattr(socket, 'AF_NETLINK'), reason='no netlink')
def test_other_families_are_refused(our_loop):
    with (
        socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM) as sock,
        pytest.raises(ValueError, match='AF_INET6 or AF_UNIX was expected'),
    ):
        our_loop.run_until_complete(
            our_loop.create_datagram_endpoint(Recorder, sock=sock)
        )


# Run in another process: it takes the memory away.
WITHOUT_MEMORY = """
import asyncio, contextlib, contextvars, os, socket, sys, tempfile
import _testcapi
import uvloop_core
from uvloop_core import _core

loop = uvloop_core.new_event_loop()
loop.set_exception_handler(lambda loop, context: None)
sys.unraisablehook = lambda told: None
context = contextvars.copy_context()
path = tempfile.gettempdir()


class Protocol(asyncio.DatagramProtocol):
    def __init__(self):
        self.lost = 0

    def datagram_received(self, data, addr):
        transport.pause_reading()
        transport.resume_reading()

    def connection_lost(self, exc):
        self.lost += 1


def spin():
    for _ in range(4):
        loop.call_soon(loop.stop)
        loop.run_forever()


def use(what, peer):
    if what == 'queue':
        for size in (10, 100, 1000):
            transport.sendto(bytes(size))
    elif what == 'extra':
        for name in ('socket', 'peername', 'sockname'):
            transport.get_extra_info(name)
    elif what == 'monitor':
        _core.monitor_fs(loop, path, print).cancel()


def attempt(what, number):
    global transport
    one, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.setblocking(False)
    protocol = Protocol()
    transport = None
    if what == 'queue':
        with contextlib.suppress(BlockingIOError):
            while True:
                one.send(b'filler')
    if what != 'open':
        transport = _core.open_udp(loop, one, protocol, context=context)
        spin()
    for _ in range(3):
        peer.send(b'spam')
    if what == 'receive':
        # In the one turn that the datagrams come in, and not around it.
        loop.call_soon(take_memory, number)
        loop.run_forever()
        return finish(transport, protocol, peer)
    _testcapi.set_nomemory(number, number + 1)
    try:
        if what == 'open':
            transport = _core.open_udp(
                loop, one, protocol, None, None, context
            )
        use(what, peer)
    except MemoryError:
        pass
    finally:
        _testcapi.remove_mem_hooks()
    if transport is None:
        assert one._io_refs == 0
        one.close()
        peer.close()
    else:
        finish(transport, protocol, peer)


def take_memory(number):
    loop.call_soon(give_memory)
    _testcapi.set_nomemory(number, number + 1)


def give_memory():
    _testcapi.remove_mem_hooks()
    loop.stop()


def finish(transport, protocol, peer):
    spin()
    transport.abort()
    spin()
    assert protocol.lost == 1
    peer.close()


for what in ['open', 'queue', 'receive', 'extra', 'monitor']:
    for number in range(60):
        attempt(what, number)
spin()
assert loop._handles_opened == loop._handles_closed > 0
loop.close()
"""


def test_without_memory_nothing_leaks_or_crashes():
    pytest.importorskip('_testcapi')
    subprocess.run(
        [sys.executable, '-P', '-c', WITHOUT_MEMORY],
        env={
            **os.environ,
            'PYTHONPATH': os.pathsep.join(path for path in sys.path if path),
        },
        check=True,
    )
