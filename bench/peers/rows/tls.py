"""TLS: there and back, both ends transports of the loop."""

from __future__ import annotations

import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from . import transports
from .timing import Loop, Open, Row, Work


@contextmanager
def self_signed() -> Iterator[ssl.SSLContext]:
    """A server's context, with a key and a certificate that nobody trusts.

    The files stay: there are loops that read them again.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = f'{folder}/key.pem', f'{folder}/certificate.pem'
        subprocess.run(
            [
                *('openssl', 'req', '-x509', '-nodes', '-days', '2'),
                *('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'),
                *('-subj', '/CN=localhost'),
                *('-keyout', key, '-out', certificate),
            ],
            check=True,
            capture_output=True,
        )
        context.load_cert_chain(certificate, key)
        yield context


def trusting() -> ssl.SSLContext:
    """A client's context, which takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def ping_pong(kilobytes: int) -> Open:
    message = bytes(range(256)) * 4 * kilobytes

    @contextmanager
    def opened(loop: Loop) -> Iterator[Work]:
        with (
            self_signed() as server,
            transports.ping_pong(loop, message, server, trusting()) as work,
        ):
            yield work

    return opened


ROWS = {
    f'tls-{kilobytes}k': Row(ping_pong(kilobytes), needs='TLS')
    for kilobytes in (1, 100)
}
