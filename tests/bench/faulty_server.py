"""An echo server with a fault: python faulty_server.py FAULT ENDPOINT."""

from __future__ import annotations

import json
import socket
import sys

AFTER = 5000  # bytes that are answered well, on each connection


def answer(fault: str, data: bytes, before: int) -> bytes | None:
    """What to send for data; None: close. `before` bytes were answered."""
    at = AFTER - before
    if not 0 <= at < len(data):
        return data
    if fault == 'wrong byte':
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    if fault == 'too long':
        return data + b'x'
    if fault == 'too short':
        return data[:-1]
    if fault == 'closes early':
        return None
    if fault == 'dies':
        sys.exit('it is enough')
    return data


def serve(fault: str, connection: socket.socket) -> None:
    before = 0
    while data := connection.recv(65536):
        reply = answer(fault, data, before)
        if reply is None:
            return
        before += len(data)
        connection.sendall(reply)


def main() -> None:
    fault = sys.argv[1]
    if fault == 'does not start':
        sys.exit('no, not today')
    with socket.create_server(('127.0.0.1', 0)) as listener:
        told = {'port': listener.getsockname()[1]}
        print(json.dumps(told), flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                serve(fault, connection)


main()
