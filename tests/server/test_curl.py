"""What curl gets: the everyday requests."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.programs import curl, needs

pytestmark = needs('curl')


@pytest.fixture
def ten_megabytes(tmp_path: Path) -> Path:
    path = tmp_path / 'ten_megabytes'
    path.write_bytes(os.urandom(10_000_000))
    return path


def test_the_index_is_a_page_of_html(server):
    out = curl('--include', server.url).decode()

    assert out.startswith('HTTP/1.1 200 OK\r\n')
    assert 'Content-Type: text/html; charset=utf-8\r\n' in out
    assert '<h1>It works</h1>' in out


@pytest.mark.parametrize('size', [0, 1, 1024, 102400, 262144, 262145, 5000000])
def test_bytes_gives_as_many_bytes_as_asked_for(server, size):
    out = curl(f'{server.url}bytes/{size}')

    assert out == (bytes(range(256)) * (size // 256 + 1))[:size]


@pytest.mark.parametrize('path', ['', 'bytes/1024', 'bytes/300000', 'headers'])
def test_head_gets_the_head_of_get_and_no_body(server, path):
    head = curl('--head', server.url + path)
    get = curl('--include', server.url + path)

    length = [x for x in head.split(b'\r\n') if x.startswith(b'Content-Len')]
    assert head.endswith(b'\r\n\r\n')
    assert get.startswith(b'HTTP/1.1 200 OK\r\n')
    # curl names the same headers in both, so what /headers shows is the same
    # but for the method.
    assert length and (path == 'headers' or length[0] in get)


def test_post_with_a_length_is_echoed_with_that_length(server):
    out = curl('--include', '--data-binary', 'hello', f'{server.url}echo')

    head, _, body = out.partition(b'\r\n\r\n')
    assert b'Content-Length: 5' in head
    assert body == b'hello'


def test_post_in_chunks_is_echoed_in_chunks(server):
    chunked = ('--header', 'Transfer-Encoding: chunked')

    out = curl('--include', *chunked, '-d', 'hello', f'{server.url}echo')

    head, _, body = out.partition(b'\r\n\r\n')
    assert b'Transfer-Encoding: chunked' in head
    assert b'Content-Length' not in head
    assert body == b'hello'


@pytest.mark.parametrize('header', ['X: y', 'Transfer-Encoding: chunked'])
@pytest.mark.parametrize('expect', ['Expect:', 'Expect: 100-continue'])
def test_an_echo_of_ten_megabytes_is_the_same(
    server, ten_megabytes, header, expect
):
    headers = ('--header', header, '--header', expect)

    out = curl(*headers, '-T', str(ten_megabytes), '-X', 'POST',
               f'{server.url}echo')  # fmt: skip

    assert out == ten_megabytes.read_bytes()


def test_expect_gets_a_100_before_the_answer(server):
    expect = ('--header', 'Expect: 100-continue')

    out = curl('--include', *expect, '-d', 'hello', f'{server.url}echo')

    assert out.startswith(b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n')
    assert out.endswith(b'\r\n\r\nhello')


def test_headers_shows_the_request_as_it_was_read(server):
    out = curl('--header', 'X-Test:  a b ', f'{server.url}headers?a=b')

    seen = json.loads(out)
    assert seen['method'] == 'GET'
    assert seen['target'] == '/headers?a=b'
    assert seen['path'] == '/headers'
    assert seen['version'] == '1.1'
    assert ['x-test', 'a b'] in seen['headers']


def test_two_requests_of_one_curl_share_a_connection(server):
    asked = ['--output', os.devnull, f'{server.url}bytes/10']

    made = curl('--write-out', '%{num_connects} ', *asked, *asked)

    assert made.split() == [b'1', b'0']


@pytest.mark.parametrize('option', ['--http1.0', '--http2'])
def test_other_versions_get_an_answer_too(server, option):
    # --http2 asks for an upgrade to h2c, which is an offer to be ignored.
    out = curl(option, f'{server.url}bytes/10')

    assert out == bytes(range(10))
