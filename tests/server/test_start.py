"""Every way not to start: one line, exit 1, no traceback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest


def run(command, env, *options):
    return subprocess.run(
        [*command, *options],
        env=env,
        text=True,
        capture_output=True,
        timeout=20,
    )


def assert_one_line(done, *words):
    assert done.returncode == 1
    assert done.stdout == ''
    assert done.stderr.count('\n') == 1
    assert done.stderr.startswith('examples.server: ')
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize('port', ['x', '-1', '65536', '', '1.5', '٣'])
def test_a_bad_port_is_one_line(command, env, port):
    done = run(command, env, f'--port={port}')

    assert_one_line(done, '--port')


@pytest.mark.parametrize(
    'option',
    ['--loop=none', '--none', '--idle-seconds=x', '--idle-seconds=nan',
     '--pipelined=0', '--headers=-1'],
)  # fmt: skip
def test_a_bad_option_is_one_line(command, env, option):
    done = run(command, env, option)

    assert_one_line(done, option.partition('=')[0])


def test_a_port_in_use_is_one_line(command, env, server):
    done = run(command, env, f'--port={server.port}')

    assert_one_line(done, f'127.0.0.1:{server.port}', 'in use')


def test_a_port_without_permission_is_one_line(command, env):
    lowest = Path('/proc/sys/net/ipv4/ip_unprivileged_port_start')
    if int(lowest.read_text()) <= 80:
        pytest.skip('every port is unprivileged here')

    if os.geteuid() == 0:  # root may, unless it gives that capability up
        if shutil.which('setpriv') is None:
            pytest.skip('setpriv is not installed')
        drop = ['--bounding-set=-net_bind_service']
        command = ['setpriv', *drop, '--inh-caps=-net_bind_service', *command]

    done = run(command, env, '--port=80')

    assert_one_line(done, '127.0.0.1:80', 'denied')


@pytest.mark.parametrize(
    'host', ['no.such.host.invalid', '192.0.2.1', 'a' * 80]
)
def test_a_host_that_is_not_ours_is_one_line(command, env, host):
    done = run(command, env, f'--host={host}', '--port=0')

    assert_one_line(done, 'cannot listen')


def test_help_names_every_limit(command, env):
    done = run(command, env, '--help')

    assert done.returncode == 0
    assert '--head-bytes' in done.stdout


@pytest.mark.skipif(not socket.has_ipv6, reason='no IPv6 in this Python')
def test_it_listens_on_ipv6(start):
    try:
        socket.create_server(('::1', 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip('no IPv6 on this machine')

    server = start('--host', '::1')

    assert server.url == f'http://[::1]:{server.port}/'
    socket.create_connection(('::1', server.port)).close()
