"""getaddrinfo and getnameinfo: the results are the socket module's."""

from __future__ import annotations

import asyncio
import contextvars
import socket
import threading

import pytest

from uvloop_core import resolve

LITERALS = ['127.0.0.1', '0.0.0.0', '::1', '::', 'fe80::1%lo', '1:2:0:0::3']


def outcome(call):
    """What it returns, or the type and the arguments of what it raises."""
    try:
        return call()
    except Exception as error:
        return type(error), error.args


def compare(loop, *args, **options):
    ours = outcome(
        lambda: loop.run_until_complete(loop.getaddrinfo(*args, **options))
    )
    theirs = outcome(lambda: socket.getaddrinfo(*args, **options))
    assert ours == theirs
    return ours


@pytest.mark.parametrize('host', LITERALS)
@pytest.mark.parametrize('kind', [0, socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize('port', [0, 80, None, '443', 'http', b'80'])
def test_addresses_are_as_the_socket_module_gives_them(
    our_loop, host, kind, port
):
    found = compare(our_loop, host, port, type=kind)

    if isinstance(found, list):  # else: no such service for that kind
        assert isinstance(found[0][0], socket.AddressFamily)
        assert isinstance(found[0][1], socket.SocketKind)


@pytest.mark.parametrize(
    'host',
    ['::0001', '::ffff:1.2.3.4', '1:2::3.4.5.6', '127.1', '010.0.0.1', '1.2.3']
    + ['::1\0', '127.0.0.1 ', '\udc80', '[::1]', ':', '1.2.3.4.5'],
)
def test_odd_spellings_are_as_the_socket_module_reads_them(our_loop, host):
    compare(our_loop, host, 80, flags=socket.AI_NUMERICHOST)
    compare(our_loop, host, 80, family=socket.AF_INET6, type=2)
    if ':' in host:  # or a name server would be asked
        compare(our_loop, host, 80)


@pytest.mark.parametrize('proto', [0, 1, 6, 17, 255, -1])
@pytest.mark.parametrize('kind', [0, 1, 2, 3, 5, 99])
@pytest.mark.parametrize('port', [0, 65535, 65536, None])
def test_protocols_are_as_the_socket_module_takes_them(
    our_loop, kind, proto, port
):
    compare(our_loop, '127.0.0.1', port, type=kind, proto=proto)


@pytest.mark.parametrize('family', [socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize('host', [*LITERALS, 'localhost', None, '', b'::1'])
@pytest.mark.parametrize('flags', [0, socket.AI_PASSIVE, socket.AI_CANONNAME])
def test_families_and_flags_are_as_the_socket_module_takes_them(
    our_loop, family, host, flags
):
    compare(our_loop, host, 80, family=family, flags=flags)


@pytest.mark.parametrize('port', ['no-such-service', -1, 1 << 40, 1.5])
@pytest.mark.parametrize('host', ['127.0.0.1', None, 5])
def test_errors_are_those_of_the_socket_module(our_loop, host, port):
    compare(our_loop, host, port, type=socket.SOCK_STREAM)


def test_an_address_needs_no_thread(our_loop):
    before = threading.active_count()

    compare(our_loop, '127.0.0.1', 80)

    assert threading.active_count() == before
    assert our_loop._default_executor is None


def test_names_are_looked_up_in_a_thread(loop, monkeypatch):
    threads = []

    def look_up(*args):
        threads.append(threading.current_thread())
        return []

    monkeypatch.setattr(socket, 'getaddrinfo', look_up)
    loop.run_until_complete(loop.getaddrinfo('spam', 80))

    assert threads[0] is not threading.current_thread()


@pytest.mark.parametrize(
    ('sockaddr', 'flags'),
    [
        (('127.0.0.1', 80), 0),
        (('127.0.0.1', 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV),
        (('::1', 80, 0, 0), socket.NI_NUMERICHOST),
        (('127.0.0.1', 'http'), 0),
        (('localhost', 80), 0),
        (('127.0.0.1',), 0),
        ('127.0.0.1', 0),
    ],
)
def test_getnameinfo_is_that_of_the_socket_module(our_loop, sockaddr, flags):
    ours = outcome(
        lambda: our_loop.run_until_complete(
            our_loop.getnameinfo(sockaddr, flags)
        )
    )

    assert ours == outcome(lambda: socket.getnameinfo(sockaddr, flags))


@pytest.mark.parametrize('host', [*LITERALS, b'::1', 'localhost', '1.2.3', ''])
@pytest.mark.parametrize('port', [80, '80', b'80', 'http', '', b'', None])
@pytest.mark.parametrize('kind', [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_what_is_known_without_asking_is_what_getaddrinfo_says(
    host, port, kind
):
    known = resolve.address_info(host, port, 0, kind, 0)

    if known is not None:
        asked = socket.getaddrinfo(host, port or 0, type=kind)
        # It is written as it was given.
        address = (host if isinstance(host, str) else host.decode(),)
        assert [known] == [
            (*each[:3], '', address + each[4][1:]) for each in asked
        ]


@pytest.mark.parametrize('host', ['127.0.0.1\0x', '::1\0', 'localhost\0.x'])
@pytest.mark.parametrize(
    'call',
    [
        lambda loop, host: loop.create_connection(asyncio.Protocol, host, 1),
        lambda loop, host: loop.create_server(asyncio.Protocol, host, 0),
        lambda loop, host: loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=(host, 0)
        ),
    ],
    ids=['connect', 'serve', 'datagrams'],
)
def test_a_host_does_not_end_at_a_nul(loop, call, host):
    # What socket.getaddrinfo() takes it for.
    with pytest.raises(ValueError, match='^embedded null character$'):
        loop.run_until_complete(call(loop, host))


def test_an_address_keeps_its_flow_and_scope():
    known = resolve.address_info('::1', 80, 0, socket.SOCK_STREAM, 0, 5, 7)

    assert known is not None
    assert known[4] == ('::1', 80, 5, 7)


def test_contexts_do_not_leak_into_the_thread(loop):
    variable = contextvars.ContextVar('variable', default='unset')

    async def main():
        variable.set('set')
        return await loop.run_in_executor(None, variable.get)

    assert loop.run_until_complete(main()) == 'unset'
    assert asyncio._get_running_loop() is None
