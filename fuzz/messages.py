"""Random messages: valid, mutated, of shapes that smuggle, or anything.

Everything is drawn from one random.Random, so that two interpreters with the
same seed make the same messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

METHODS = b"""
    GET POST PUT HEAD OPTIONS DELETE QUERY CONNECT PRI SETUP get ACL ANNOUNCE
    BIND CHECKOUT COPY DESCRIBE FLUSH GET_PARAMETER LINK LOCK M-SEARCH MERGE
    MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY PATCH PAUSE PLAY PROPFIND PROPPATCH
    PURGE REBIND RECORD REDIRECT REPORT SEARCH SET_PARAMETER SOURCE SUBSCRIBE
    TEARDOWN TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE
""".split()
TARGETS = (
    *(b'/', b'/a/b?c=d#e', b'*', b'http://u:p@h:80/x?y', b'h:443'),
    *(b'/\xc3\xa9', b'', b'/a b', b'//', b'http://', b'/' + b'x' * 40),
)
VERSIONS = (
    *([b'HTTP/1.1'] * 9),
    *(b'HTTP/1.0', b'HTTP/0.9', b'HTTP/2.0', b'HTTP/1.2', b'RTSP/1.0'),
    *(b'ICE/1.0', b'HTTP/9.9', b'http/1.1', b'HTTP/11'),
)
STATUSES = (
    *(b'200 OK', b'200', b'200 ', b'404 Not Found', b'101 Switching'),
    *(b'100 Continue', b'204 No', b'304 Not', b'199 x', b'102 P', b'103 E'),
    *(b'205 R', b'500 \xff\x00', b'20 x', b'2000 x', b'000 a', b'abc'),
)
VALUES = {
    b'Host': (b'h', b'localhost', b'', b'a b'),
    b'Content-Length': (b'5', b'0', b'10', b' 3', b'+5', b'5, 5', b'9' * 20),
    b'Transfer-Encoding': (
        *(b'chunked', b'chunked', b'Chunked', b'gzip, chunked', b'gzip'),
        *(b'chunked, gzip', b'identity', b'chunked\t', b'xchunked'),
    ),
    b'Connection': (
        *(b'close', b'keep-alive', b'upgrade', b'Keep-Alive, Upgrade'),
        *(b'x, close', b'close;x'),
    ),
    b'Upgrade': (b'websocket', b'h2c', b'', b'a, b/1'),
    b'Expect': (b'100-continue', b'x'),
    b'Proxy-Connection': (b'close', b'keep-alive'),
    b'Cookie': (b'a=b', b'x' * 60, b'', b'\xff\xfe'),
    b'Content-Type': (b'text/html', b'a\tb', b'  x  '),
    b'X-Long-Header-Name-That-Is-Long': (b'y', b'a\x00b', b'a\x01b'),
    b'te': (b'trailers', b'a\r\n b', b'a\r\n\t c\r\n  d'),
}
EXTENSIONS = (
    *([b''] * 6),
    *(b';a', b';a=b', b';a="q\\"r"', b' ', b';a=b;c=d'),
)


def pick(random: Random, items: Sequence[bytes], usual: int) -> bytes:
    """Mostly one of the first."""
    few = random.random() < 0.85
    return random.choice(items[:usual] if few else items)


def end_of_line(random: Random) -> bytes:
    if random.random() < 0.985:
        return b'\r\n'
    return random.choice([b'\n', b'\r', b'\r\r\n', b'\r\n '])


def headers(random: Random) -> bytes:
    lines = []
    for _ in range(random.choice([0, 0, 1, 2, 3, 5, 9])):
        name = random.choice(list(VALUES))
        value = pick(random, VALUES[name], 3)
        if random.random() < 0.02:
            name = random.choice([b'b\x00d', b'bad name', b'', b'X('])
        colon = random.choice([b': ', b': ', b': ', b':', b':  \t'])
        if random.random() < 0.01:
            colon = b' :'
        lines.append(name + colon + value + end_of_line(random))
    return b''.join(lines)


def chunks(random: Random) -> bytes:
    parts = []
    for _ in range(random.choice([0, 1, 2, 3])):
        size = random.choice([1, 3, 5, 16])
        parts.append(b'%x' % size + random.choice(EXTENSIONS))
        parts.append(end_of_line(random) + random.randbytes(size))
        parts.append(end_of_line(random))
    parts.append(b'0' + end_of_line(random))
    if random.random() < 0.4:
        parts.append(headers(random))
    return b''.join(parts) + end_of_line(random)


def body(random: Random) -> bytes:
    kind = random.random()
    if kind < 0.45:
        return b''
    if kind < 0.7:
        return random.choice([b'hello', b'0123456789'])
    return chunks(random)


def message(random: Random, is_request: bool) -> bytes:
    if is_request:
        first = b' '.join(
            [
                pick(random, METHODS, 5),
                pick(random, TARGETS, 4),
                pick(random, VERSIONS, 10),
            ]
        )
    else:
        first = pick(random, VERSIONS, 10) + b' '
        first += random.choice(STATUSES)
    return (
        random.choice([b''] * 8 + [b'\r\n', b'\n'])
        + first
        + end_of_line(random)
        + headers(random)
        + end_of_line(random)
        + body(random)
    )


def mutated(random: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice([1, 1, 2, 4])):
        if not changed:
            break
        at = random.randrange(len(changed))
        kind = random.random()
        if kind < 0.4:
            changed[at] = random.randrange(256)
        elif kind < 0.6:
            del changed[at]
        elif kind < 0.8:
            changed.insert(at, random.choice(b'\r\n :;,\t\x00A0'))
        else:
            start = random.randrange(len(changed))
            size = random.randrange(9)
            changed[at:at] = changed[start : start + size]
    return bytes(changed)


def field(random: Random) -> bytes:
    """A header line that frames nothing."""
    name = random.choice(
        [b'Host', b'Accept', b'X-A', b'cookie', b'Te', b'Via']
    )
    value = random.choice(
        [b'h', b'*/*', b'a=b; c="d"', b'x' * 70, b'a\xff', b'']
    )
    return name + random.choice([b': ', b':', b':\t ']) + value + b'\r\n'


def framed(random: Random, is_request: bool) -> bytes:
    """A message whose body is what its head says."""
    lines = [field(random) for _ in range(random.choice([0, 1, 3, 8, 20]))]
    content = random.randbytes(random.choice([1, 2, 5, 16, 17, 100, 300]))
    kind = random.random()
    if kind < 0.35:
        lines.append(b'Content-Length: %d\r\n' % len(content))
    elif kind < 0.7:
        lines.append(b'Transfer-Encoding: chunked\r\n')
        content = encoded(random, content)
    else:
        content = b''
        if not is_request or random.random() < 0.2:
            lines.append(b'Content-Length: 0\r\n')
    connection = random.choice([b'', b'', b'', b'keep-alive', b'a, b'])
    if random.random() < 0.05:
        connection = b'close'
    elif random.random() < 0.08:
        connection = b'keep-alive, Upgrade'
        lines.append(b'Upgrade: ' + random.choice([b'h2c', b'websocket, x']))
    if connection:
        lines.append(b'Connection: ' + connection + b'\r\n')
    random.shuffle(lines)
    version = random.choice([b'HTTP/1.1'] * 19 + [b'HTTP/1.0'])
    if is_request:
        method = random.choice(
            METHODS[:6] if random.random() < 0.9 else METHODS
        )
        first = method + b' ' + random.choice(TARGETS[:4]) + b' ' + version
    else:
        first = version + b' ' + pick(random, STATUSES[:13], 4)
    return first + b'\r\n' + b''.join(lines) + b'\r\n' + content


def encoded(random: Random, content: bytes) -> bytes:
    """In chunks, perhaps with extensions and trailers."""
    parts = []
    while content:
        size = random.randrange(1, len(content) + 1)
        zeros = b'0' * random.choice([0, 0, 0, 1, 9])
        parts.append(zeros + random.choice([b'%x', b'%X']) % size)
        parts.append(random.choice(EXTENSIONS) + b'\r\n')
        parts.append(content[:size] + b'\r\n')
        content = content[size:]
    trailers = [field(random) for _ in range(random.choice([0, 0, 0, 1, 3]))]
    return b''.join([*parts, b'0\r\n', *trailers, b'\r\n'])


def smuggling(random: Random, is_request: bool) -> bytes:
    """Two lengths, or one that is odd, before a message in the body."""
    names = (b'Content-Length', b'Transfer-Encoding', b'transfer-encoding')
    inner = framed(random, is_request)
    size = random.choice([len(inner), len(inner), 0, 3, len(inner) + 9])
    lines = [field(random)]
    for name in random.choices(names, k=random.choice([1, 1, 2, 2, 3])):
        value = random.choice(
            [b'%d', b'%d', b'0%d', b'+%d', b'%d, %d', b'%d ', b'0x%x', b'-%d']
        )
        value = value.replace(b'%d', b'%d' % size).replace(b'%x', b'%x' % size)
        if name != b'Content-Length':
            value = random.choice(VALUES[b'Transfer-Encoding'])
        space = random.choice(
            [b': '] * 9 + [b':', b' : ', b':\r\n ', b':\x0b']
        )
        lines.append(name + space + value + end_of_line(random))
    if random.random() < 0.3:
        lines.append(b'Connection: upgrade\r\n')
        lines.append(
            random.choice([b'Upgrade: h2c\r\n', b'Upgrade:\r\n', b''])
        )
    content = random.choice(
        [inner, encoded(random, inner), b'0\r\n\r\n' + inner, b'%x' % size]
    )
    if is_request:
        first = random.choice(
            [b'POST / HTTP/1.1', b'GET /x HTTP/1.0', b'GET /']
        )
    else:
        first = random.choice([b'HTTP/1.1 200 OK', b'HTTP/1.0 304 N'])
    random.shuffle(lines)
    head = first + end_of_line(random) + b''.join(lines)
    return head + end_of_line(random) + content


def connection(random: Random) -> tuple[bool, bytes]:
    """What comes over one connection: is it requests, and the bytes."""
    is_request = random.random() < 0.55
    kind = random.random()
    make = framed if kind < 0.65 else smuggling if kind < 0.8 else message
    count = random.choice([1, 1, 1, 2, 3, 5])
    data = b''.join(make(random, is_request) for _ in range(count))
    changes = 0.3 <= kind < 0.65 or random.random() < 0.1
    return is_request, mutated(random, data) if changes else data


def cut(random: Random, data: bytes) -> list[bytes]:
    kind = random.random()
    if kind < 0.3:
        return [data]
    if kind < 0.4:
        return [data[i : i + 1] for i in range(len(data))]
    count = random.choice([1, 1, 2, 5])
    cuts = sorted(random.randrange(len(data) + 1) for _ in range(count))
    return [
        data[start:end]
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)
    ]


URL_PARTS = (
    (b'http', b'https', b'dsf', b'h1', b''),
    (b'://', b'://', b'://', b':/', b':', b''),
    (b'', b'', b'u@', b'u:p@', b'@', b'a@b@', b'u%20@', b'u[@'),
    (
        *(b'h', b'a-b.c', b'[::1]', b'[1:2::3:4]', b'[]', b'[::1%25eth0]'),
        *(b'[::1%]', b'[::g]', b'1.2.3.4', b'h_x', b'', b'[::1', b'\xe9'),
    ),
    (b'', b'', b'', b':80', b':', b':0', b':65535', b':65536', b':8a'),
    (b'', b'/', b'/p', b'/p/q', b'/p q', b'/\xc3', b'*', b'p'),
    (b'', b'', b'?', b'?q', b'??', b'?q?r', b'?a b'),
    (b'', b'', b'#', b'#f', b'##f', b'#f#g', b'#?f', b'# '),
)


def url(random: Random) -> bytes:
    if random.random() < 0.2:
        data = b'/' + random.randbytes(random.randrange(6))
    else:
        data = b''.join(random.choice(part) for part in URL_PARTS)
    return mutated(random, data) if random.random() < 0.5 else data
