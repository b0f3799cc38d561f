"""What the strict parser and the batch interface report does not depend on
how the bytes were cut into feeds, whatever the bytes are.
"""

from __future__ import annotations

import time
from random import Random
from typing import Any

import httptools

from . import messages

JOINED = ('on_body', 'on_url', 'on_status')
NAMES = (
    *('on_message_begin', 'on_url', 'on_status', 'on_header', 'on_body'),
    *('on_headers_complete', 'on_chunk_header', 'on_chunk_complete'),
    'on_message_complete',
)
BATCH_NAMES = ('on_request', 'on_response', 'on_trailers')
LIMITS = (
    *('max_head', 'max_url', 'max_headers', 'max_header_name'),
    *('max_header_value', 'max_trailers', 'max_chunk_extensions', 'max_body'),
)


def events(
    is_request: bool,
    pieces: list[bytes],
    options: dict[str, Any],
    names: tuple[str, ...],
) -> list[Any]:
    log: list[Any] = []

    def callback(name: str) -> Any:
        def called(*args: Any) -> None:
            if name in JOINED and log and log[-1][0] == name:
                log[-1] = (name, log[-1][1] + args[0])
            elif args != (b'',):
                log.append((name, *args))

        return called

    protocol = type('Protocol', (), {})()
    for name in names:
        setattr(protocol, name, callback(name))
    make = (
        httptools.HttpRequestParser
        if is_request
        else httptools.HttpResponseParser
    )
    parser = make(protocol, **options)
    try:
        for piece in pieces:
            parser.feed_data(piece)
    except httptools.HttpParserError as error:
        log.append((type(error).__name__, str(error), error.name))
    except httptools.HttpParserUpgrade:
        log.append(('upgrade', parser.consumed))
    return log


def check_one(random: Random) -> str:
    """'' or what differs."""
    is_request, data = messages.connection(random)
    options: dict[str, Any] = {}
    names: tuple[str, ...] = NAMES + BATCH_NAMES
    if random.random() < 0.6:
        options = {'strict': True, 'require_host': random.random() < 0.2}
        if random.random() < 0.5:
            names = NAMES
    for name in random.sample(LIMITS, random.choice([0, 1, 3])):
        options[name] = random.choice([0, 1, 3, 10, 30, 80])
    whole = events(is_request, [data], options, names)
    ways = [[data[i : i + 1] for i in range(len(data))]]
    ways += [messages.cut(random, data) for _ in range(4)]
    for pieces in ways:
        cut = events(is_request, pieces, options, names)
        if cut != whole:
            return f'{options}\n  {data!r}\n  {pieces}\n  {whole}\n  {cut}'
    return ''


def check(seed: int, deadline: float, most: int) -> int:
    """How many messages depend on it; shows the first ones."""
    number = found = 0
    while number < most and time.monotonic() < deadline:
        different = check_one(Random(f'splits {seed} {number}'))
        if different:
            found += 1
            if found <= 3:
                print(f'seed {seed} number {number}: {different}')
        number += 1
    print(f'{number} messages cut in 6 ways: {found} differences', flush=True)
    return found
