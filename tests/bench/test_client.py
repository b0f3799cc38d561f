"""bench/client.c: what it refuses, and that its count is right."""

from __future__ import annotations

import json

import pytest

from bench.libraries import openssl


@pytest.mark.parametrize(
    'address',
    [
        '10.0.0.1',
        '192.168.1.1',
        '0.0.0.0',
        '8.8.8.8',
        '128.0.0.1',
        '::',
        '2001:db8::1',
        '::ffff:8.8.8.8',
        'localhost',
        'example.org',
        '127.1',
        '',
    ],
)
def test_it_refuses_what_is_not_a_literal_loopback_address(client, address):
    done = client(address, 80, '--connections 1 --size 1 --requests 1')

    assert done.returncode == 1
    assert done.stdout == ''
    assert 'is not a loopback address' in done.stderr


@pytest.mark.parametrize(
    'options',
    [
        '--connections 1025 --size 1 --requests 1',
        '--connections 1 --size 16777217 --requests 1',
        '--connections 1 --size 1 --requests 100000001',
        '--connections 1 --size 1 --seconds 301',
        '--connections 1 --size 1 --seconds 1 --patience 121',
        '--connections 0 --size 1 --seconds 1',
        '--connections -1 --size 1 --seconds 1',
        '--connections 1x --size 1 --seconds 1',
    ],
)
def test_it_refuses_what_is_out_of_bounds(client, options):
    done = client('127.0.0.1', 9, options)

    assert done.returncode == 1
    assert 'must be a number from 1 to' in done.stderr


@pytest.mark.parametrize(
    'options',
    [
        '--size 1 --seconds 1',
        '--connections 1 --size 1',
        '--connections 1 --size 1 --seconds 1 --requests 1',
        '--connections 1 --size 1 --seconds 1 --loud 1',
    ],
)
def test_it_refuses_a_command_that_says_too_little_or_too_much(
    client, options
):
    done = client('127.0.0.1', 9, options)

    assert done.returncode == 1
    assert done.stderr.startswith('client: ')


@pytest.mark.parametrize('size', [1, 1024, 300_000])
@pytest.mark.parametrize('connections', [1, 10])
def test_it_answers_for_exactly_the_number_of_requests(
    client, echo_port, connections, size
):
    options = f'--connections {connections} --size {size} --requests 105'
    done = client('127.0.0.1', echo_port, options)

    assert done.stderr == ''
    told = json.loads(done.stdout)
    assert told['requests'] == 105
    assert told['requests_per_second'] == pytest.approx(
        105 / told['seconds'], rel=0.01
    )
    quantiles = [told[f'{name}_us'] for name in ('p50', 'p90', 'p99', 'max')]
    assert quantiles == sorted(quantiles)
    assert quantiles[0] > 0


def test_it_goes_on_for_the_time_it_is_given(client, echo_port):
    done = client(
        '127.0.0.1', echo_port, '--connections 3 --size 100 --seconds 1'
    )

    told = json.loads(done.stdout)
    assert told['requests'] > 3
    assert 1.0 <= told['seconds'] < 20.0


def test_a_server_that_is_not_there_is_told_in_one_line(client):
    done = client('127.0.0.1', 1, '--connections 1 --size 1 --requests 1')

    assert done.stderr == 'client: connect: Connection refused\n'


@pytest.mark.parametrize('path', ['', '/' + 'x' * 107])
def test_it_refuses_the_path_of_a_socket_that_cannot_be(client, path):
    done = client('unix', path, '--connections 1 --size 1 --requests 1')

    assert done.stderr == 'client: the path of a socket has 1 to 107 bytes\n'


def test_a_socket_that_is_not_there_is_told_in_one_line(client, tmp_path):
    path = str(tmp_path / 'socket')
    done = client('unix', path, '--connections 1 --size 1 --requests 1')

    assert done.stderr == 'client: connect: No such file or directory\n'


@pytest.mark.skipif(not openssl(), reason='needs the headers of OpenSSL')
def test_a_server_without_tls_is_told_in_one_line(client, echo_port):
    options = '--tls --connections 1 --size 1 --requests 1'
    done = client('127.0.0.1', echo_port, options)

    assert done.stderr == 'client: connection 0: no TLS handshake\n'
