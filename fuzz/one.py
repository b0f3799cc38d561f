"""What `make fuzz-c` does with one input.

The first bytes choose what is done (see Plan), the rest is what is parsed.
Whatever it is, nothing but the documented exceptions may come, and what the
parser reports must not depend on the pieces, on pauses or on the door. An
exception that leaves run_one ends the fuzzer, as a report of a sanitizer does.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from importlib.machinery import BuiltinImporter, ModuleSpec
from typing import Any

BUILTIN = 'httptools._http'


class Finder:
    """Finds the extension in the fuzzer itself, and not beside the package."""

    @staticmethod
    def find_spec(name: str, *rest: object) -> ModuleSpec | None:
        if name != BUILTIN:
            return None
        return importlib.util.spec_from_loader(name, BuiltinImporter)


if BUILTIN in sys.builtin_module_names:
    sys.meta_path.insert(0, Finder)

import httptools  # noqa: E402

from .log import LENIENCIES  # noqa: E402
from .splits import BATCH_NAMES, JOINED, LIMITS, NAMES  # noqa: E402

HEAD = 12
REQUEST, RESPONSE, URL, WRITER = 'request', 'response', 'url', 'writer'
KINDS = (REQUEST, RESPONSE, URL, WRITER, REQUEST, RESPONSE)
LENIENT = (*LENIENCIES, 'header_value_relaxed')
ACTIONS = ('', 'pause', 'raise', 'reset', 'init', 'feed', 'skip', 'leniency')
SWITCHES = (
    *('reject_http09', 'reject_versions', 'reject_te_in_http10'),
    *('reject_codings', 'reject_duplicates', 'reject_obs_text'),
    *('reject_spaces', 'reject_trailers', 'require_host'),
)


class Wrong(Exception):
    """What a callback raises."""


class Plan:
    """How an input is used; each bit of its first bytes has a meaning."""

    def __init__(self, data: memoryview) -> None:
        head = bytes(data[:HEAD]).ljust(HEAD, b'\0')
        self.payload = data[HEAD:]
        self.kind = KINDS[head[0] % len(KINDS)]
        self.strict = bool(head[1] & 1)
        self.batch = bool(head[1] & 2)
        self.door = bool(head[1] & 4)
        self.copies = bool(head[1] & 8)
        self.asks = bool(head[1] & 16)
        self.eof = bool(head[1] & 32)
        self.classic = not self.batch or bool(head[1] & 64)
        self.methods = bool(head[6] & 128)
        self.names = self.read_names(head)
        bits = head[2] | head[3] << 8
        self.leniencies = {
            f'lenient_{name}': True
            for i, name in enumerate(LENIENT)
            if bits >> i & 1
        }
        self.options = self.read_options(head)
        self.action = ACTIONS[head[8] % len(ACTIONS)]
        self.action_at = head[9] % 24
        self.sizes = head[10], head[11]

    def read_names(self, head: bytes) -> list[str]:
        """The callbacks that are there."""
        names = ['on_message_begin', 'on_body']
        if self.classic:
            names = list(NAMES)
        if self.batch:
            names += BATCH_NAMES
        if head[6] & 64:
            names.append('on_trailer')
        if head[1] & 128:
            names = [
                name
                for i, name in enumerate(names)
                if not head[9] >> i % 8 & 1
            ]
        return names

    def read_options(self, head: bytes) -> dict[str, Any]:
        options: dict[str, Any] = {}
        if self.strict:
            options = {'strict': True, 'require_host': False}
        if head[4] & 1:
            limit = LIMITS[(head[4] >> 1) % len(LIMITS)]
            options[limit] = head[5] if head[4] < 128 else None
        if head[6] & 1:
            options['header_names'] = 'lower'
        if head[6] & 2:
            options['strip_ows'] = not self.strict
        if head[6] & 4:
            options['upgrades'] = (b'websocket', b'h2c')[: head[6] >> 3 & 3]
        if head[7]:
            switch = SWITCHES[head[7] % len(SWITCHES)]
            options[switch] = head[7] < 128
        return options

    def pieces(self) -> list[memoryview]:
        first, second = self.sizes
        if first == second == 0:
            return [self.payload]
        result: list[memoryview] = []
        start = 0
        while start < len(self.payload):
            size = (second if len(result) % 2 else first) or 1
            result.append(self.payload[start : start + size])
            start += size
        return result

    @property
    def ends_alike(self) -> bool:
        """Whether the events before an error do not depend on the pieces."""
        return self.strict or (self.batch and not self.classic)


class Run:
    """One parser, fed; `log` has its events, pieces joined."""

    def __init__(self, plan: Plan, action: str) -> None:
        self.plan = plan
        self.action = action
        self.calls = 0
        self.log: list[Any] = []
        self.errors: list[Exception] = []
        self.protocol = self.make_protocol()
        make = (
            httptools.HttpRequestParser
            if plan.kind == REQUEST
            else httptools.HttpResponseParser
        )
        self.options = dict(plan.options)
        if plan.door:
            self.options['on_error'] = self.on_error
        self.parser: Any = make(self.protocol, **self.options)
        self.parser.set_dangerous_leniencies(**plan.leniencies)

    def make_protocol(self) -> object:
        """Its callbacks are functions, or methods."""
        make: Any = type('Protocol', (), {})
        protocol = make()
        for name in self.plan.names:
            function = self.callback(name)
            if self.plan.methods:
                setattr(make, name, lambda _, *args, f=function: f(*args))
            else:
                setattr(protocol, name, function)
        return protocol

    def on_error(self, error: Exception) -> None:
        self.errors.append(error)
        if not self.parser.message_complete:
            self.state()

    def callback(self, name: str) -> Any:
        def called(*args: Any) -> int:
            if name in JOINED and self.log and self.log[-1][0] == name:
                self.log[-1] = (name, self.log[-1][1] + args[0])
            elif args != (b'',):
                self.log.append((name, *args))
            if self.plan.asks:
                self.state()
            self.calls += 1
            if self.action == 'pause':
                if self.calls % (self.plan.action_at + 1) == 0:
                    self.parser.pause()
            elif self.action and self.calls == self.plan.action_at:
                self.act()
            return 21  # without effect

        return called

    def act(self) -> None:
        """What a callback should not do: an error, or without effect."""
        if self.action == 'raise':
            raise Wrong
        if self.action == 'leniency':
            self.parser.set_dangerous_leniencies(lenient_headers=True)
        elif self.action == 'skip':
            if self.plan.kind == RESPONSE:
                self.parser.skip_body()
        else:
            try:
                self.forbidden()
            except RuntimeError:
                return
            raise AssertionError(f'{self.action} in a callback')

    def forbidden(self) -> None:
        if self.action == 'feed':
            self.parser.feed_data(b'GET / HTTP/1.1\r\n\r\n')
        elif self.action == 'reset':
            self.parser.reset()
        else:
            self.parser.__init__(self.protocol, **self.options)

    def state(self) -> tuple[Any, ...]:
        parser = self.parser
        first = (
            parser.get_method()
            if self.plan.kind == REQUEST
            else parser.get_status_code()
        )
        numbers = (parser.consumed, parser.content_length, parser.chunk_size)
        flags = (parser.should_keep_alive(), parser.should_upgrade())
        more = (parser.keep_alive, parser.paused, parser.message_complete)
        texts = (parser.get_http_version(), parser.chunk_extensions)
        return first, *numbers, *flags, *more, *texts

    def call(self, method: str, *args: Any) -> bool:
        """Whether it may go on."""
        try:
            getattr(self.parser, method)(*args)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as e:
            assert not self.plan.door, e
            self.errors.append(e)
        return not self.errors

    def feed(self, pieces: list[memoryview]) -> None:
        for piece in pieces:
            data = bytes(piece) if self.plan.copies else piece
            if not self.call('feed_data', data):
                break
            while self.parser.paused:
                self.state()
                if not self.call('resume'):
                    break
            if self.errors:
                break
        if self.plan.eof and not self.errors:
            self.call('feed_eof')
        self.note_end()

    def note_end(self) -> None:
        for error in self.errors[:1]:
            if isinstance(error, httptools.HttpParserUpgrade):
                self.log.append(('upgrade', self.parser.consumed))
                assert len(error.rest) <= len(self.plan.payload)
            elif isinstance(error, httptools.HttpParserError):
                self.log.append((type(error).__name__, error.name))
                if error.__cause__ is not None:
                    assert isinstance(error.__cause__, Wrong)
        assert len(self.errors) <= 1
        self.state()

    def use_again(self) -> None:
        """After whatever came, reset() makes it as good as new."""
        self.action = ''
        self.parser.reset()
        self.errors.clear()
        self.feed([self.plan.payload])


def run_parser(plan: Plan) -> None:
    whole = Run(plan, '')
    whole.feed([plan.payload])
    for action in {plan.action, ''}:
        cut = Run(plan, action)
        cut.feed(plan.pieces())
        if action not in ('', 'pause', 'feed', 'reset', 'init'):
            continue
        if plan.ends_alike or not whole.errors:
            assert cut.log == whole.log, (whole.log, cut.log)
    first = list(whole.log)
    whole.log.clear()
    whole.use_again()
    assert whole.log == first, (first, whole.log)


def run_url(plan: Plan) -> None:
    data = plan.payload
    try:
        url = httptools.parse_url(bytes(data) if plan.copies else data)
    except httptools.HttpParserInvalidURLError:
        return
    whole = bytes(data)
    parts = (url.schema, url.userinfo, url.host, url.path, url.query)
    at = 0
    for part in (*parts, url.fragment):
        if part is not None:
            at = whole.index(part, at) + len(part)
    assert url.port is None or 0 <= url.port <= 65535
    assert type(url)(*parts_in_order(url)).path == url.path


def parts_in_order(url: Any) -> tuple[Any, ...]:
    return (
        *(url.schema, url.host, url.port, url.path, url.query),
        *(url.fragment, url.userinfo),
    )


def fields(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each of the lines 'name:value'; a backslash begins a new line."""
    for line in data.split(b'\\'):
        name, _, value = line.partition(b':')
        yield name, value


def run_writer(plan: Plan) -> None:
    """What build_response makes is read as one response of these headers."""
    status = 100 + plan.sizes[0] * 5
    head, _, rest = bytes(plan.payload).partition(b'\\\\')
    headers = list(fields(head)) if head else []
    parts = rest.split(b'|')
    reason = headers[0][1] if headers and plan.batch else None
    options: dict[str, Any] = {'chunked': plan.eof, 'date': plan.asks}
    try:
        buffers = httptools.build_response(
            status,
            headers,
            (parts if plan.strict else rest) if plan.door else None,
            reason=reason,
            **options,
        )
    except ValueError:
        return
    for part in filter(None, parts):
        chunk = b''.join(httptools.build_chunk(part))
        assert chunk == b'%x\r\n%b\r\n' % (len(part), part)
    names = [name.lower() for name, _ in headers]
    if {b'content-length', b'transfer-encoding', b'upgrade'} & set(names):
        return  # the caller's own framing need not be right
    seen: list[Any] = []
    protocol = type('Protocol', (), {})()
    protocol.on_response = lambda *args: seen.append(args)
    parser = httptools.HttpResponseParser(protocol)
    for buffer in buffers:
        parser.feed_data(buffer)
    assert len(seen) == 1, seen
    code, _, _, found, _ = seen[0]
    assert code == status
    stripped = [(name, value.strip(b' \t')) for name, value in headers]
    assert [
        (n, v.strip(b' \t')) for n, v in found[: len(stripped)]
    ] == stripped
    assert len(found) <= len(headers) + 2


def run_one(data: memoryview) -> None:
    plan = Plan(data)
    if plan.kind == URL:
        run_url(plan)
    elif plan.kind == WRITER:
        run_writer(plan)
    else:
        run_parser(plan)
    plan.payload.release()
