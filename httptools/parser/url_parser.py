"""The URL parser."""

from httptools._http import URL as URL
from httptools._http import parse_url

__all__ = ('parse_url',)
