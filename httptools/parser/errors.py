"""What parsing can raise. Plain Python, so that they pickle and import."""

from __future__ import annotations

__all__ = (
    'HttpParserCallbackError',
    'HttpParserError',
    'HttpParserInvalidMethodError',
    'HttpParserInvalidStatusError',
    'HttpParserInvalidURLError',
    'HttpParserLimitError',
    'HttpParserUpgrade',
)


class HttpParserError(Exception):
    """The input is not HTTP.

    The parser sets what it knows: llhttp's code as ``errno`` and ``name``
    ("HPE_INVALID_METHOD"), and the ``offset`` in the data being fed. An error
    that is raised again, by a later feed, has no offset. What our own limits
    and switches refuse has no errno, and a name such as "LIMIT_HEAD" or
    "STRICT_HOST". ``status`` is what a server should answer.
    """

    errno: int | None = None
    name: str | None = None
    offset: int | None = None
    status: int = 400


class HttpParserCallbackError(HttpParserError):
    """A callback raised; its exception is ``__cause__``."""

    status = 500


class HttpParserInvalidStatusError(HttpParserError):
    """The status line has no valid status."""


class HttpParserInvalidMethodError(HttpParserError):
    """The request line begins with no known method."""


class HttpParserInvalidURLError(HttpParserError):
    """The request's target, or parse_url's argument, is no URL."""


class HttpParserLimitError(HttpParserError):
    """The message is larger than a limit; ``status`` is 413, 414 or 431."""

    status = 431


class HttpParserUpgrade(Exception):
    """The rest is another protocol; the argument says where it begins.

    ``rest`` is what was fed behind the head.
    """

    rest: bytes = b''
