"""The runner itself: what it must not overlook."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.upstream import suite

TESTS = """
import os, unittest

class Case(unittest.TestCase):
    def test_1_passes(self):
        print('no end of line', end='')

    def test_2_fails(self):
        self.assertEqual(1, 2)

    def test_3_is_skipped(self):
        self.skipTest('why')

    def test_4_crashes(self):
        os.abort()

    def test_5_fails_in_a_subtest(self):
        with self.subTest(number=5):
            self.fail()

    @unittest.expectedFailure
    def test_6_is_known_to_fail(self):
        self.fail()

    def test_7_hangs(self):
        import time
        time.sleep(100)

    def test_8_passes(self):
        pass
"""


def test_how_each_test_ends_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite, 'SILENCE', 3.0)
    (tmp_path / 'case.py').write_text(TESTS)

    results = [(each[0], each[1]) for each in suite.run(tmp_path, ['case'])]

    assert [(name.split('_')[1], word) for name, word in results] == [
        ('1', 'passed'),
        ('2', 'failed'),
        ('3', 'skipped'),
        ('4', 'crashed or hung'),
        ('5', 'failed'),
        ('6', 'passed'),
        ('7', 'crashed or hung'),
        ('8', 'passed'),
    ]


def test_the_fixtures_of_classes_are_run(tmp_path: Path) -> None:
    (tmp_path / 'case.py').write_text(
        'import unittest\n'
        'class One(unittest.TestCase):\n'
        '    @classmethod\n'
        '    def setUpClass(cls):\n'
        '        cls.file = open("file", "w")\n'
        '    @classmethod\n'
        '    def tearDownClass(cls):\n'
        '        cls.file.close()\n'
        '    def test(self):\n'
        '        self.assertFalse(self.file.closed)\n'
        'class Two(unittest.TestCase):\n'
        '    def test(self):\n'
        '        self.assertTrue(One.file.closed)\n'
    )

    words = [word for _, word, _ in suite.run(tmp_path, ['case'])]

    assert words == ['passed', 'passed']


def test_a_crash_after_the_last_test_is_told(tmp_path: Path) -> None:
    (tmp_path / 'case.py').write_text(
        'import atexit, os, unittest\n'
        'atexit.register(os.abort)\n'
        'class Case(unittest.TestCase):\n'
        '    def test(self):\n'
        '        pass\n'
    )

    words = [word for _, word, _ in suite.run(tmp_path, ['case'])]

    assert words == ['passed', 'ended with -6']


def test_what_is_not_to_be_run_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_out = suite.Expected('case.Case.test_2', '*', '7', 'not run: why')
    monkeypatch.setattr(suite, 'read_lines', lambda: [left_out])
    (tmp_path / 'case.py').write_text(
        'import unittest\n'
        'class Case(unittest.TestCase):\n'
        '    def test_1(self):\n'
        '        pass\n'
        '    def test_2(self):\n'
        '        pass\n'
    )

    results = list(suite.run(tmp_path, ['case']))

    assert [name for name, _, _ in results] == ['case.Case.test_1']
    assert suite.compare(results) == []


def test_what_expected_txt_does_not_say_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = suite.Expected('a.known', '*', '7', 'why')
    gone = suite.Expected('a.gone', '*', '7', 'why')
    monkeypatch.setattr(
        suite, 'read_expected', lambda: {'a.known': known, 'a.gone': gone}
    )

    assert suite.compare(
        [('a.known', 'failed', ''), ('b.x', 'passed', '')]
    ) == ['a.gone does not exist, but expected.txt lists it']
    assert suite.compare([('b.x', 'failed', 'why')]) == ['b.x failed:\nwhy']
    assert suite.compare(
        [('a.known', 'passed', ''), ('a.gone', 'failed', '')]
    ) == ['a.known passes, but expected.txt lists it']
