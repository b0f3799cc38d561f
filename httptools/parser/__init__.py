"""The import paths of the original httptools."""

from .errors import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserInvalidStatusError,
    HttpParserInvalidURLError,
    HttpParserLimitError,
    HttpParserUpgrade,
)
from .parser import HttpRequestParser, HttpResponseParser
from .protocol import HTTPProtocol
from .url_parser import parse_url

__all__ = (
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
    'parse_url',
)
