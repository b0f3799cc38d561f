"""Runs unittest tests one by one and says how each ends; see suite.py.

Usage: runner.py --skip N --without TEST,TEST... MODULE[:CLASS,CLASS...] ...

Standard library only: it runs on a bare interpreter, with what PYTHONPATH
names. Each line that starts with a TAB is for suite.py: "begin" or how it
ended, a TAB, and the id of the test. What went wrong goes before that line.
"""

from __future__ import annotations

import faulthandler
import importlib
import sys
import traceback
import unittest
from collections.abc import Iterator
from types import TracebackType
from typing import Any

Error = tuple[type[BaseException], BaseException, TracebackType]


class Outcome(unittest.TestResult):
    """How one test, with its subtests, has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.told = 'passed'

    def note(self, told: str, error: Any) -> None:
        self.told = told
        traceback.print_exception(*error)

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        self.note('failed', err)

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        self.note('failed', err)

    def addSubTest(
        self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any
    ) -> None:
        if err is not None:
            print(subtest)
            self.note('failed', err)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        if self.told == 'passed':
            self.told = 'skipped'
            print(reason)


def tests_of(argument: str) -> Iterator[unittest.TestCase]:
    """All tests of a module, or of the named classes in it."""
    name, _, classes = argument.partition(':')
    module = importlib.import_module(name)
    loader = unittest.defaultTestLoader
    if not classes:
        yield from flatten(loader.loadTestsFromModule(module))
    for each in filter(None, classes.split(',')):
        yield from flatten(loader.loadTestsFromTestCase(getattr(module, each)))


def flatten(suite: Any) -> Iterator[unittest.TestCase]:
    if isinstance(suite, unittest.TestCase):
        yield suite
        return
    for each in suite:
        yield from flatten(each)


def tell(word: str, test: unittest.TestCase) -> None:
    sys.stderr.flush()
    # On a line of its own, whatever the test has printed.
    print(f'\n\t{word}\t{test.id()}', flush=True)


class Fixtures:
    """setUpClass and tearDownClass, which a test run alone goes without."""

    def __init__(self) -> None:
        self.of: type[unittest.TestCase] | None = None

    def change(self, to: type[unittest.TestCase] | None) -> None:
        if to is not self.of:
            before, self.of = self.of, None
            if before is not None:
                before.tearDownClass()
                before.doClassCleanups()
            if to is not None:
                to.setUpClass()
            self.of = to


def main(arguments: list[str]) -> None:
    _, skip, _, without, *modules = arguments
    tests = [
        test
        for each in modules
        for test in tests_of(each)
        if test.id() not in without.split(',')
    ]
    fixtures = Fixtures()
    for test in tests[int(skip) :]:
        outcome = Outcome()
        tell('begin', test)
        fixtures.change(type(test))
        test.run(outcome)
        # What the next test is told shall be of its own making.
        sys.stdout.flush()
        tell(outcome.told, test)
    fixtures.change(None)


if __name__ == '__main__':
    faulthandler.enable()
    main(sys.argv[1:])
