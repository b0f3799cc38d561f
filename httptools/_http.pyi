from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal, NoReturn, type_check_only

from typing_extensions import Buffer, disjoint_base

from httptools.parser.errors import HttpParserError, HttpParserUpgrade
from httptools.parser.protocol import HTTPProtocol

__version__: str
llhttp_version: str

KEEP_ALIVE: Final = 1
UPGRADE: Final = 2
CHUNKED: Final = 4
HAS_BODY: Final = 8
EXPECT_100: Final = 16

# The common base, reachable as HttpRequestParser.__mro__[1] only.
@disjoint_base
@type_check_only
class _HttpParser:
    def __init__(
        self,
        protocol: HTTPProtocol | object,
        *,
        on_error: Callable[[HttpParserError | HttpParserUpgrade], object]
        | None = ...,
        header_names: Literal['raw', 'lower'] = ...,
        strip_ows: bool = ...,
        upgrades: Iterable[bytes] | None = ...,
        strict: bool = ...,
        max_head: int | None = ...,
        max_url: int | None = ...,
        max_headers: int | None = ...,
        max_header_name: int | None = ...,
        max_header_value: int | None = ...,
        max_trailers: int | None = ...,
        max_chunk_extensions: int | None = ...,
        max_body: int | None = ...,
        reject_http09: bool = ...,
        reject_versions: bool = ...,
        reject_te_in_http10: bool = ...,
        reject_codings: bool = ...,
        reject_duplicates: bool = ...,
        reject_obs_text: bool = ...,
        reject_spaces: bool = ...,
        reject_trailers: bool = ...,
        require_host: bool = ...,
    ) -> None: ...
    @property
    def consumed(self) -> int: ...
    @property
    def keep_alive(self) -> bool: ...
    @property
    def content_length(self) -> int | None: ...
    @property
    def chunk_size(self) -> int: ...
    @property
    def chunk_extensions(self) -> bytes: ...
    @property
    def message_complete(self) -> bool: ...
    @property
    def paused(self) -> bool: ...
    def feed_data(self, data: Buffer) -> None: ...
    def feed_eof(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def reset(self) -> None: ...
    def get_http_version(self) -> str: ...
    def should_keep_alive(self) -> bool: ...
    def should_upgrade(self) -> bool: ...
    def set_dangerous_leniencies(
        self,
        lenient_headers: bool | None = None,
        lenient_chunked_length: bool | None = None,
        lenient_keep_alive: bool | None = None,
        lenient_transfer_encoding: bool | None = None,
        lenient_version: bool | None = None,
        lenient_data_after_close: bool | None = None,
        lenient_optional_lf_after_cr: bool | None = None,
        lenient_optional_cr_before_lf: bool | None = None,
        lenient_optional_crlf_after_chunk: bool | None = None,
        lenient_spaces_after_chunk_size: bool | None = None,
        lenient_header_value_relaxed: bool | None = None,
    ) -> None: ...
    def __reduce__(self) -> NoReturn: ...
    def __setstate__(self, state: object, /) -> NoReturn: ...

class HttpRequestParser(_HttpParser):
    def get_method(self) -> bytes: ...

class HttpResponseParser(_HttpParser):
    def get_status_code(self) -> int: ...
    def skip_body(self) -> None: ...

@disjoint_base
class URL:
    def __new__(
        cls,
        schema: bytes | None,
        host: bytes | None,
        port: int | None,
        path: bytes | None,
        query: bytes | None,
        fragment: bytes | None,
        userinfo: bytes | None,
    ) -> URL: ...
    @property
    def schema(self) -> bytes | None: ...
    @property
    def host(self) -> bytes | None: ...
    @property
    def port(self) -> int | None: ...
    @property
    def path(self) -> bytes | None: ...
    @property
    def query(self) -> bytes | None: ...
    @property
    def fragment(self) -> bytes | None: ...
    @property
    def userinfo(self) -> bytes | None: ...
    def __reduce__(self) -> NoReturn: ...
    def __setstate__(self, state: object, /) -> NoReturn: ...

def parse_url(url: Buffer) -> URL: ...
def build_response(
    status: int,
    headers: Iterable[tuple[bytes, bytes] | list[bytes]] = ...,
    body: Buffer | Sequence[Buffer] | None = None,
    *,
    reason: bytes | None = None,
    date: bool = True,
    chunked: bool = False,
) -> list[Buffer]: ...
def build_chunk(data: Buffer, /) -> list[Buffer]: ...
