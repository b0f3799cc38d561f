"""Makes cases.py importable (pytest puts no test folder on sys.path)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location(
    'httptools_cases', Path(__file__).with_name('cases.py')
)
cases = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = cases
SPEC.loader.exec_module(cases)


SELECTIONS = {
    'case': lambda case: True,
    'accepted_case': lambda case: case.ends_well,
    'upgrade_case': lambda case: 'HttpParserUpgrade' in str(case.events),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for argument in SELECTIONS.keys() & set(metafunc.fixturenames):
        chosen = [c for c in cases.read_all() if SELECTIONS[argument](c)]
        metafunc.parametrize(argument, chosen, ids=lambda case: case.name)
