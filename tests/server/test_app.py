"""What an app may do: wait, stream, fail; and what it may not: forge heads."""

from __future__ import annotations

import asyncio
import importlib

import pytest

protocol = importlib.import_module('examples.server.protocol')
limits = importlib.import_module('examples.server.limits')
response = importlib.import_module('examples.server.response')
Response = response.Response
HttpError = response.HttpError

GET = b'GET / HTTP/1.1\r\nHost: x\r\n\r\n'
LAST = b'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'


@pytest.fixture
def talk(loop_factory):
    """What the server says to some data, until it closes."""

    def talk(app, data: bytes, **options: float) -> bytes:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(conversation(app, data, options))

    return talk


async def conversation(app, data: bytes, options: dict[str, float]) -> bytes:
    service = protocol.Service(app, limits.Limits(**options))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: protocol.Connection(service), '127.0.0.1', 0
    )
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    writer.write(data)
    said = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    server.close()
    # Until both ends are gone: the loop may not be closed over them.
    while service.connections:
        await asyncio.sleep(0)
    return said


def test_an_async_app_is_awaited(talk):
    async def app(request):
        await asyncio.sleep(0)
        return Response(b'later')

    assert talk(app, LAST).endswith(b'\r\n\r\nlater')


def test_slow_and_quick_answers_keep_their_order(talk):
    async def slow():
        await asyncio.sleep(0.05)
        return Response(b'slow')

    answers = iter([slow(), Response(b'quick'), slow(), Response(b'last')])

    said = talk(lambda request: next(answers), GET * 3 + LAST)

    bodies = [part.split(b'HTTP')[0] for part in said.split(b'\r\n\r\n')[1:]]
    assert bodies == [b'slow', b'quick', b'slow', b'last']


def test_a_body_can_be_read_whole(talk):
    async def app(request):
        return Response((await request.body.read()).upper())

    post = b'POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n'
    post += b'Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n'

    assert talk(app, post).endswith(b'\r\n\r\nABC')


async def pieces():
    yield b'ab'
    yield b''
    yield b'cde'


def test_a_body_in_pieces_is_chunked(talk):
    said = talk(lambda request: Response(pieces()), LAST)

    assert b'\r\nTransfer-Encoding: chunked\r\n' in said
    assert said.endswith(b'\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n')


def test_a_body_in_pieces_ends_with_the_connection_in_http_1_0(talk):
    keep = b'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n'

    said = talk(lambda request: Response(pieces()), keep)

    assert b'Transfer-Encoding' not in said
    assert b'\r\nConnection: close\r\n' in said
    assert said.endswith(b'\r\n\r\nabcde')


@pytest.mark.parametrize('length', [4, 6])
def test_a_body_of_another_length_breaks_the_connection(talk, length, caplog):
    said = talk(lambda request: Response(pieces(), length=length), GET)

    assert b'\r\nContent-Length: %d\r\n' % length in said
    assert len(said.partition(b'\r\n\r\n')[2]) < 6
    assert 'than its length' in caplog.text


def fails(request):
    raise ZeroDivisionError('secret')


async def fails_later(request):
    raise ZeroDivisionError('secret')


def forgets(request):
    return None


def forges(request):
    return Response(headers=[('X', 'y\r\nSet-Cookie: evil')])


def invents(request):
    return Response(status=999)


@pytest.mark.parametrize('app', [fails, fails_later, forgets, forges, invents])
def test_an_app_that_fails_is_a_500_and_the_connection_goes_on(
    talk, app, caplog
):
    said = talk(app, GET + LAST)

    assert said.count(b'HTTP/1.1 500 ') == 2
    assert b'secret' not in said and b'evil' not in said
    assert 'the app failed' in caplog.text


def test_an_app_may_raise_its_answer(talk):
    def app(request):
        raise HttpError(403, 'not you', [('X-Why', 'because')])

    said = talk(app, LAST)

    assert said.startswith(b'HTTP/1.1 403 Forbidden\r\n')
    assert b'\r\nX-Why: because\r\n' in said


@pytest.mark.parametrize('status', [204, 304])
def test_a_status_without_body_has_none(talk, status):
    said = talk(lambda request: Response(b'body', status), LAST)

    assert b'Content-Length' not in said
    assert said.endswith(b'\r\n\r\n')


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('X', 'a\r\nY: b'),
        ('X', 'a\nb'),
        ('X', 'a\0'),
        ('X', 'snow \u2603'),
        ('X: y\r\nZ', 'a'),
        ('X Y', 'a'),
        ('', 'a'),
        ('Content-Length', '5'),
        ('transfer-encoding', 'chunked'),
    ],
)
def test_no_header_can_split_a_response(name, value):
    answer = Response(headers=[(name, value)])

    with pytest.raises(ValueError, match=r'header|set by the server'):
        answer.head(close=False, http10=False)


def test_no_content_type_can_split_a_response():
    answer = Response(content_type='text/html\r\nX: y')

    with pytest.raises(ValueError, match='invalid header'):
        answer.head(close=False, http10=False)
