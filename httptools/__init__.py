"""HTTP/1 for Python: the interface of httptools, a new implementation.

``DISTRIBUTION`` tells this package from the original one of the same name;
see ``httptools._guard``.
"""

DISTRIBUTION = 'httptools-uv'

from . import parser  # noqa: E402
from ._http import (  # noqa: E402
    CHUNKED,
    EXPECT_100,
    HAS_BODY,
    KEEP_ALIVE,
    UPGRADE,
    build_chunk,
    build_response,
)
from ._version import __version__  # noqa: E402
from .parser import (  # noqa: E402
    HttpParserCallbackError,
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserInvalidStatusError,
    HttpParserInvalidURLError,
    HttpParserLimitError,
    HttpParserUpgrade,
    HTTPProtocol,
    HttpRequestParser,
    HttpResponseParser,
    parse_url,
)

__all__ = (
    'CHUNKED',
    'EXPECT_100',
    'HAS_BODY',
    'KEEP_ALIVE',
    'UPGRADE',
    'HTTPProtocol',
    'HttpParserCallbackError',
    'HttpParserError',
    'HttpParserInvalidMethodError',
    'HttpParserInvalidStatusError',
    'HttpParserInvalidURLError',
    'HttpParserLimitError',
    'HttpParserUpgrade',
    'HttpRequestParser',
    'HttpResponseParser',
    '__version__',
    'build_chunk',
    'build_response',
    'parse_url',
    'parser',
)
