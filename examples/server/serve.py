"""Listen, serve until a signal comes, finish what was begun, stop."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable

from .answer import App
from .limits import Limits
from .protocol import Connection, Service

BACKLOG = 1024
ACCEPT_TURNS = 5
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; OSError says why there is none."""
    family, kind, proto, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def url_of(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return (
        f'http://[{host}]:{port}/' if ':' in host else f'http://{host}:{port}/'
    )


async def serve(
    sock: socket.socket, app: App, limits: Limits, ready: Callable[[], None]
) -> int:
    """Serve until SIGINT or SIGTERM; how many connections were cut off."""
    loop = asyncio.get_running_loop()
    service = Service(app, limits)
    signals: asyncio.Queue[int] = asyncio.Queue()
    for number in SIGNALS:
        loop.add_signal_handler(number, signals.put_nowait, number)
    server = await loop.create_server(
        lambda: Connection(service), sock=sock, backlog=BACKLOG
    )
    ready()
    await signals.get()

    service.stop()
    # What a loop has accepted becomes a connection some turns later, and on
    # asyncio not at all if the server was closed in between: so the loop stops
    # accepting, has these turns, and only then the server is closed.
    loop.remove_reader(sock)
    for _ in range(ACCEPT_TURNS):
        await asyncio.sleep(0)
    late = accept_all(sock)
    server.close()
    for client in late:
        await loop.connect_accepted_socket(lambda: Connection(service), client)

    empty = asyncio.ensure_future(service.empty.wait())
    impatient = asyncio.ensure_future(signals.get())
    await asyncio.wait(
        (empty, impatient),
        timeout=limits.grace_seconds,
        return_when=asyncio.FIRST_COMPLETED,
    )
    cut_off = list(service.connections)
    for connection in cut_off:
        connection.abort()
    impatient.cancel()
    await empty
    # A signal that comes now comes too late to change anything, but the loop
    # hands signals back when it closes, and then they would kill.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    return len(cut_off)


def accept_all(sock: socket.socket) -> list[socket.socket]:
    """The connections that the kernel has made but nobody has accepted yet:
    closing the listener would reset them, with the requests they carry."""
    clients = []
    try:
        while True:
            clients.append(sock.accept()[0])
    except OSError:  # none is left, or none can be had
        return clients
