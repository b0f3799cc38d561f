"""create_connection, connect_accepted_socket, and TLS on them."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import errno
import gc
import os
import socket
import ssl
import sys

import pytest

from tests.programs import run_code
from uvloop_core import _core, connect

variable = contextvars.ContextVar('variable', default='unset')


class Recorder(asyncio.Protocol):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.data = b''
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.calls.append('made')

    def data_received(self, data):
        self.data += data

    def connection_lost(self, error):
        self.calls.append('lost')
        self.lost.set_result(error)


@pytest.fixture
def listener():
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        sock.listen(100)
        yield sock


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return sock.getsockname()[1]


@contextlib.contextmanager
def accepted(listener):
    sock, _ = listener.accept()
    with sock:
        yield sock


def connect_and_close(loop, listener, *args, **options):
    """Connect, take the peer's name, close; returns the name."""

    async def main():
        transport, protocol = await loop.create_connection(
            Recorder, *args, **options
        )
        name = transport.get_extra_info('peername')
        transport.close()
        await protocol.lost
        assert protocol.calls == ['made', 'lost']
        return name

    name = loop.run_until_complete(main())
    with accepted(listener):
        return name


def count(kind: type) -> int:
    return sum(isinstance(thing, kind) for thing in gc.get_objects())


def info(address, family=socket.AF_INET):
    return family, socket.SOCK_STREAM, 6, '', address


def test_a_connection_is_made_and_lost_once(loop, listener):
    address = listener.getsockname()

    assert connect_and_close(loop, listener, *address) == address


def test_names_are_resolved(loop, listener):
    address = listener.getsockname()

    assert (
        connect_and_close(
            *(loop, listener, 'localhost', address[1]), family=socket.AF_INET
        )
        == address
    )


def test_a_connected_socket_is_taken_over(loop, listener):
    address = listener.getsockname()
    sock = socket.create_connection(address)

    assert connect_and_close(loop, listener, sock=sock) == address
    assert sock.fileno() == -1


def test_data_goes_both_ways(loop, listener):
    async def talk():
        transport, protocol = await loop.create_connection(
            Recorder, *listener.getsockname()
        )
        with accepted(listener) as peer:
            transport.write(b'spam')
            assert peer.recv(10) == b'spam'
            peer.sendall(b'eggs')
        assert await protocol.lost is None
        return protocol.data

    assert loop.run_until_complete(talk()) == b'eggs'


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({}, 'host and port was not specified and no sock specified'),
        ({'host': 'a', 'port': 1, 'sock': 1}, 'can not be specified at the'),
        ({'server_hostname': 'a'}, 'server_hostname is only meaningful with'),
        ({'ssl_handshake_timeout': 1}, 'ssl_handshake_timeout is only mean'),
        ({'ssl_shutdown_timeout': 1}, 'ssl_shutdown_timeout is only meani'),
        ({'ssl': True}, 'You must set server_hostname when using ssl witho'),
    ],
)
def test_arguments_that_do_not_fit_are_refused(loop, options, message):
    with pytest.raises(ValueError, match=message):
        loop.run_until_complete(loop.create_connection(Recorder, **options))


def test_only_stream_sockets_are_taken(loop):
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        with pytest.raises(
            ValueError, match=r'^A Stream Socket was expected,'
        ):
            loop.run_until_complete(
                loop.create_connection(Recorder, sock=sock)
            )
        with pytest.raises(
            ValueError, match=r'^A Stream Socket was expected,'
        ):
            loop.run_until_complete(
                loop.connect_accepted_socket(Recorder, sock)
            )


def test_a_tls_socket_is_not_taken(loop):
    context = ssl.create_default_context()
    with (
        socket.socket() as plain,
        context.wrap_socket(plain, server_hostname='a') as sock,
    ):
        with pytest.raises(TypeError, match=r'cannot be of type SSLSocket'):
            loop.run_until_complete(
                loop.create_connection(Recorder, sock=sock)
            )


def test_a_closed_socket_is_an_error(loop):
    sock = socket.socket()
    sock.close()

    with pytest.raises(OSError) as error:
        loop.run_until_complete(loop.create_connection(Recorder, sock=sock))
    assert error.value.errno == errno.EBADF


def test_a_refused_connection_is_told_with_its_address(loop):
    port = closed_port()

    with pytest.raises(ConnectionRefusedError, match=f"'127.0.0.1', {port}"):
        loop.run_until_complete(
            loop.create_connection(Recorder, '127.0.0.1', port)
        )


def test_a_connection_that_takes_a_while_is_awaited(loop, listener):
    # To 127.0.0.1 it takes none. This is the same, but nobody knows.
    port = listener.getsockname()[1]

    name = connect_and_close(loop, listener, '0.0.0.0', port)

    assert name == listener.getsockname()


def test_a_refusal_that_takes_a_while_is_told_with_its_address(loop):
    port = closed_port()

    with pytest.raises(ConnectionRefusedError, match=f"'0.0.0.0', {port}"):
        loop.run_until_complete(
            loop.create_connection(Recorder, '0.0.0.0', port)
        )


def test_an_address_that_cannot_be_connected_to_is_an_error(loop):
    with pytest.raises(OSError, match=r'^\[Errno \d+\] ') as error:
        loop.run_until_complete(
            loop.create_connection(Recorder, '255.255.255.255', 1)
        )

    assert error.value.errno in (errno.ENETUNREACH, errno.EACCES)


def test_all_errors_of_one_address_come_as_a_group_too(loop):
    if sys.version_info < (3, 12):
        pytest.skip('new in Python 3.12')
    with pytest.raises(ExceptionGroup) as group:
        loop.run_until_complete(
            loop.create_connection(
                Recorder, '127.0.0.1', closed_port(), all_errors=True
            )
        )

    assert group.value.message == 'create_connection failed'


def test_what_stands_in_for_the_socket_class_is_used(
    loop, listener, monkeypatch
):
    made = []

    class Proxied(socket.socket):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            made.append(self)

    monkeypatch.setattr(socket, 'socket', Proxied)
    connect_and_close(loop, listener, *listener.getsockname())

    assert made


def test_the_socket_of_a_connection_is_known(loop, listener):
    async def main():
        transport, protocol = await loop.create_connection(
            Recorder, *listener.getsockname()
        )
        sock = transport.get_extra_info('socket')
        seen = [sock.family, sock.type, sock.proto, sock.gettimeout()]
        seen += [sock.getpeername(), sock.getsockname()]
        seen.append(transport.get_extra_info('sockname'))
        transport.close()
        await protocol.lost
        return seen

    seen = loop.run_until_complete(main())
    with accepted(listener) as peer:
        assert seen == [
            *(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, 0),
            *(listener.getsockname(), peer.getpeername(), peer.getpeername()),
        ]


AUDITED = """
import asyncio, importlib, socket, sys

events = []


def hook(event, args):
    if event == 'socket.connect':
        events.append(args[1])
        raise ZeroDivisionError


async def main(port):
    try:
        await asyncio.get_running_loop().create_connection(
            asyncio.Protocol, '127.0.0.1', port
        )
    except ZeroDivisionError:
        print(events == [('127.0.0.1', port)])


loop = importlib.import_module(sys.argv[1]).new_event_loop()
sys.addaudithook(hook)
with socket.create_server(('127.0.0.1', 0)) as server:
    loop.run_until_complete(main(server.getsockname()[1]))
loop.close()
"""


@pytest.mark.parametrize('name', ['asyncio', 'uvloop_core'])
def test_an_audit_hook_may_forbid_a_connection(name):
    assert run_code(AUDITED, name) == ('True\n', '')


LOOKED_AT = """
import asyncio, importlib, os, socket, sys

kept = []


def hook(event, args):
    if event == 'socket.connect':
        sock = args[0]
        sock.fileno()
        kept.append((sock, sock.type, sock.proto))


async def main(address):
    for _ in range(5):
        try:
            await loop.create_connection(asyncio.Protocol, *address)
        except ConnectionRefusedError:
            pass


loop = importlib.import_module(sys.argv[1]).new_event_loop()
with socket.create_server(('127.0.0.1', 0)) as server:
    address = server.getsockname()
loop.run_until_complete(main(address))
before = os.listdir('/proc/self/fd')
sys.addaudithook(hook)
loop.run_until_complete(main(address))
print([(int(kind), proto) for _, kind, proto in kept[:1]])
print(len(kept), os.listdir('/proc/self/fd') == before)
loop.close()
"""


@pytest.mark.parametrize('name', ['asyncio', 'uvloop_core'])
def test_an_audit_hook_may_look_at_a_socket_and_keep_it(name):
    assert run_code(LOOKED_AT, name) == ('[(1, 6)]\n5 True\n', '')


REPLACED = """
import asyncio
import importlib
import socket
import sys

made = []


class Proxied(socket.socket):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        made.append(self)


server = socket.create_server(('127.0.0.1', 0))
socket.socket = Proxied
loop = importlib.import_module(sys.argv[1]).new_event_loop()
transport, _ = loop.run_until_complete(
    loop.create_connection(asyncio.Protocol, *server.getsockname())
)
print(len([sock for sock in made if sock.family == socket.AF_INET]))
transport.abort()
loop.run_until_complete(asyncio.sleep(0))
server.close()
loop.close()
"""


@pytest.mark.parametrize('name', ['asyncio', 'uvloop_core'])
def test_what_stood_in_for_the_socket_class_before_the_import(name):
    assert run_code(REPLACED, name) == ('1\n', '')


WITHOUT_MEMORY = """
import contextvars
import os

import _testcapi

import uvloop_core
from uvloop_core import _core

loop = uvloop_core.new_event_loop()
# Makes the current one, which CPython 3.11 crashes on without memory.
contextvars.copy_context()


def attempt(host, number):
    try:
        _testcapi.set_nomemory(number, number + 1)
        try:
            dial = _core.dial(loop, host, 1, 0, 0)
            waiter = dial.__await__()
            dial.close()
        finally:
            _testcapi.remove_mem_hooks()
    except (MemoryError, OSError):
        pass


before = os.listdir('/proc/self/fd')
for host in ['127.0.0.1', '0.0.0.0']:
    for number in range(40):
        attempt(host, number)
assert os.listdir('/proc/self/fd') == before
loop.close()
"""


def test_without_memory_a_dialled_socket_is_closed():
    pytest.importorskip('_testcapi')

    run_code(WITHOUT_MEMORY)


def test_what_cannot_be_dialled_is_refused(our_loop):
    assert _core.dial(our_loop, 'localhost', 1, 0, 0) is None
    assert _core.dial(our_loop, '127.0.0.1', 1, socket.AF_INET6, 0) is None
    with pytest.raises(TypeError):
        _core.dial(our_loop, '127.0.0.1', 1)
    with pytest.raises(TypeError):
        _core.dial(None, '127.0.0.1', 1, 0, 0)


def test_a_dialled_socket_that_was_closed_makes_no_transport(
    our_loop, listener
):
    dialled = _core.dial(our_loop, *listener.getsockname(), 0, 0)
    dialled.close()
    dialled.close()

    with pytest.raises(TypeError, match='not connected'):
        _core.open_tcp(our_loop, dialled, asyncio.Protocol())


def test_the_next_address_is_tried(loop, listener, monkeypatch):
    address = listener.getsockname()

    async def resolve(*args, **options):
        return [info(('127.0.0.1', closed_port())), info(address)]

    monkeypatch.setattr(loop, 'getaddrinfo', resolve, raising=False)

    assert connect_and_close(loop, listener, 'spam', 1) == address


def test_several_failures_are_told_as_one(loop, monkeypatch):
    ports = closed_port(), closed_port()

    async def resolve(*args, **options):
        return [info(('127.0.0.1', port)) for port in ports]

    monkeypatch.setattr(loop, 'getaddrinfo', resolve, raising=False)

    with pytest.raises(OSError, match=r'^Multiple exceptions: .*, .Errno '):
        loop.run_until_complete(loop.create_connection(Recorder, 'spam', 1))


@pytest.mark.skipif(sys.version_info < (3, 12), reason='new in Python 3.12')
def test_all_errors_come_as_a_group(loop, monkeypatch):
    ports = closed_port(), closed_port()

    async def resolve(*args, **options):
        return [info(('127.0.0.1', port)) for port in ports]

    monkeypatch.setattr(loop, 'getaddrinfo', resolve, raising=False)

    with pytest.raises(ExceptionGroup) as group:
        loop.run_until_complete(
            loop.create_connection(Recorder, 'spam', 1, all_errors=True)
        )
    assert group.value.message == 'create_connection failed'
    assert [type(error) for error in group.value.exceptions] == [
        ConnectionRefusedError,
        ConnectionRefusedError,
    ]


def test_a_name_without_addresses_is_an_error(loop, monkeypatch):
    async def resolve(*args, **options):
        return []

    monkeypatch.setattr(loop, 'getaddrinfo', resolve, raising=False)

    with pytest.raises(OSError, match=r'^getaddrinfo\(\) returned empty list'):
        loop.run_until_complete(loop.create_connection(Recorder, 'spam', 1))


def test_a_failure_leaves_no_reference_cycle(loop):
    async def fail():
        before = count(ConnectionRefusedError)
        with contextlib.suppress(ConnectionRefusedError):
            await loop.create_connection(Recorder, '127.0.0.1', closed_port())
        # The callback that runs now was made for the future that failed.
        await asyncio.sleep(0)
        return count(ConnectionRefusedError) - before

    gc.collect()
    gc.disable()
    try:
        assert loop.run_until_complete(fail()) == 0
    finally:
        gc.enable()


# local_addr


def test_a_local_address_is_bound_to(loop, listener):
    async def main():
        transport, protocol = await loop.create_connection(
            Recorder, *listener.getsockname(), local_addr=('127.0.0.2', 0)
        )
        name = transport.get_extra_info('sockname')[0]
        transport.close()
        await protocol.lost
        return name

    assert loop.run_until_complete(main()) == '127.0.0.2'


def test_a_local_address_in_use_is_told(loop, listener):
    address = listener.getsockname()

    with pytest.raises(OSError) as error:
        loop.run_until_complete(
            loop.create_connection(Recorder, *address, local_addr=address)
        )
    assert error.value.errno == errno.EADDRINUSE
    assert str(address) in error.value.strerror
    assert 'error while attempting to bind on address' in error.value.strerror


def test_a_local_address_of_another_family_is_told(loop, listener):
    with pytest.raises(OSError, match='with family=<AddressFamily.AF_INET'):
        loop.run_until_complete(
            loop.create_connection(
                Recorder, *listener.getsockname(), local_addr=('::1', 0)
            )
        )


# Happy eyeballs


def test_happy_eyeballs_takes_the_first_that_answers(
    loop, listener, monkeypatch
):
    address = listener.getsockname()
    # Nobody answers there: a full backlog drops connection attempts.
    deaf = socket.socket()
    deaf.bind(('127.0.0.1', 0))
    deaf.listen(0)
    fillers = [socket.socket() for _ in range(3)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(deaf.getsockname())

    async def resolve(*args, **options):
        return [info(deaf.getsockname()), info(address)]

    monkeypatch.setattr(loop, 'getaddrinfo', resolve, raising=False)
    with contextlib.ExitStack() as stack:
        for sock in (deaf, *fillers):
            stack.enter_context(sock)
        name = connect_and_close(
            loop, listener, 'spam', 1, happy_eyeballs_delay=0.01
        )

    assert name == address


def test_happy_eyeballs_tells_all_failures(loop, monkeypatch):
    async def resolve(*args, **options):
        return [info(('127.0.0.1', closed_port())) for _ in range(2)]

    monkeypatch.setattr(loop, 'getaddrinfo', resolve, raising=False)

    with pytest.raises(OSError, match=r'^Multiple exceptions: '):
        loop.run_until_complete(
            loop.create_connection(
                Recorder, 'spam', 1, happy_eyeballs_delay=0.01
            )
        )


@pytest.mark.parametrize(
    ('count', 'order'),
    [(1, '461444'), (2, '446144'), (3, '444614')],
)
def test_families_take_turns(count, order):
    families = {'4': socket.AF_INET, '6': socket.AF_INET6, '1': socket.AF_UNIX}
    addresses = [
        info(('a', number), families[name])
        for number, name in enumerate('444461')
    ]

    turns = connect.interleave_families(addresses, count)

    names = {family: name for name, family in families.items()}
    got = ''.join(names[address[0]] for address in turns)
    assert got == order
    assert sorted(turns) == sorted(addresses)


# Cancellation


def open_descriptors() -> int:
    return len(os.listdir('/proc/self/fd'))


@pytest.mark.parametrize('turns', range(6))
@pytest.mark.parametrize('delay', [None, 0.01])
@pytest.mark.parametrize('host', ['127.0.0.1', '0.0.0.0'])
def test_a_cancelled_connect_leaves_no_descriptor(
    our_loop, listener, turns, delay, host
):
    # asyncio's race may forget a socket that has connected.
    loop = our_loop

    port = listener.getsockname()[1]

    async def cancel():
        task = loop.create_task(
            loop.create_connection(
                Recorder, host, port, happy_eyeballs_delay=delay
            )
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            transport, _ = await task
            transport.close()
        for _ in range(4):
            await asyncio.sleep(0)

    # libuv keeps a descriptor from a loop's first connection on.
    connect_and_close(loop, listener, *listener.getsockname())
    before = open_descriptors()
    loop.run_until_complete(cancel())

    assert open_descriptors() == before


def test_a_cancelled_connect_closes_the_socket_it_was_given(loop, listener):
    sock = socket.create_connection(listener.getsockname())

    async def cancel():
        task = loop.create_task(loop.create_connection(Recorder, sock=sock))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)

    loop.run_until_complete(cancel())

    assert sock.fileno() == -1


def test_a_factory_that_fails_leaves_no_descriptor(our_loop, listener):
    # asyncio leaves the socket to the garbage collector.
    our_loop.run_until_complete(asyncio.sleep(0))
    before = open_descriptors()

    with pytest.raises(ZeroDivisionError):
        our_loop.run_until_complete(
            our_loop.create_connection(lambda: 1 / 0, *listener.getsockname())
        )

    assert open_descriptors() == before


# connect_accepted_socket, contexts


def test_an_accepted_socket_is_taken_over(loop, listener):
    client = socket.create_connection(listener.getsockname())
    sock, _ = listener.accept()

    async def talk():
        transport, protocol = await loop.connect_accepted_socket(
            Recorder, sock
        )
        client.sendall(b'spam')
        client.close()
        assert await protocol.lost is None
        transport.close()
        return protocol.data

    assert loop.run_until_complete(talk()) == b'spam'


def test_the_protocol_runs_in_the_context_of_the_call(loop, listener):
    seen = []

    class Looks(Recorder):
        def connection_made(self, transport):
            seen.append(variable.get())

        def data_received(self, data):
            seen.append(variable.get())

        def connection_lost(self, error):
            seen.append(variable.get())
            super().connection_lost(error)

    async def talk():
        variable.set('inner')
        _, protocol = await loop.create_connection(
            Looks, *listener.getsockname()
        )
        variable.set('later')
        with accepted(listener) as peer:
            peer.sendall(b'spam')
        await protocol.lost

    loop.run_until_complete(talk())

    assert set(seen) == {'inner'}
    assert len(seen) == 3
