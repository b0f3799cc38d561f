"""The parsers. A package and not a module: see ``httptools._guard``."""

from httptools import _guard

_guard.check()

from httptools._http import (  # noqa: E402
    HttpRequestParser,
    HttpResponseParser,
)
from httptools.parser.errors import (  # noqa: E402, F401
    HttpParserCallbackError,
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserInvalidStatusError,
    HttpParserInvalidURLError,
    HttpParserLimitError,
    HttpParserUpgrade,
)

__all__ = ('HttpRequestParser', 'HttpResponseParser')
