"""--part N/M: the N-th of M parts, from 0 on, of the tests of this folder."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption('--part', default='0/1', metavar='N/M')


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    number, parts = map(int, config.getoption('--part').split('/'))
    items[:] = items[number::parts]
