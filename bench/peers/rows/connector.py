"""The other end of many connections, in a process of its own.

python connector.py PORT tcp|tls: for each line `open N` on stdin it makes N
more connections, for `close` it closes all of them. It answers with a line.
"""

from __future__ import annotations

import resource
import socket
import ssl
import struct
import sys

RESET = struct.pack('ii', 1, 0)  # SO_LINGER: no TIME_WAIT is left


def connect(port: int, context: ssl.SSLContext | None) -> socket.socket:
    connection = socket.create_connection(('127.0.0.1', port), 20.0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    return context.wrap_socket(connection) if context else connection


def main() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    context = None
    if sys.argv[2] == 'tls':
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    connections: list[socket.socket] = []
    for line in sys.stdin:
        verb, *count = line.split()
        if verb == 'open':
            connections += [
                connect(int(sys.argv[1]), context)
                for _ in range(int(count[0]))
            ]
        else:
            for connection in connections:
                connection.close()
            connections.clear()
        print(verb, flush=True)


if __name__ == '__main__':
    main()
