"""The certificate of the servers of TLS: self-signed, made at the first use.
The client does not ask for another."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

from ..build import BUILD
from ..libraries import NO_OPENSSL, openssl
from ..processes import run
from . import Unavailable

CERTIFICATE = BUILD / 'certificate.pem'
KEY = BUILD / 'key.pem'
FILES = (str(CERTIFICATE), str(KEY))
COMMAND = (
    'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
    ' -days 3650 -subj /CN=localhost'
).split()


def make_certificate() -> None:
    """Raises Unavailable if something is not installed that TLS needs."""
    if not openssl():
        raise Unavailable(NO_OPENSSL)
    if shutil.which('openssl') is None:
        raise Unavailable('openssl is not installed: apt-get install openssl')
    BUILD.mkdir(parents=True, exist_ok=True)
    with open(BUILD / 'lock-certificate', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not CERTIFICATE.exists():
            fresh = Path(f'{CERTIFICATE}.new')
            run([*COMMAND, '-keyout', str(KEY), '-out', str(fresh)], 60)
            os.replace(fresh, CERTIFICATE)
