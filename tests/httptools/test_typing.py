"""The stubs agree with the module, and type checkers with the stubs."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import httptools

SAMPLE = Path(__file__).with_name('typing_sample.py')
PACKAGE = Path(httptools.__file__).parent


def check(*command: str) -> None:
    paths = os.pathsep.join([str(PACKAGE.parent), *sys.path])
    done = subprocess.run(
        [sys.executable, '-m', *command],
        capture_output=True,
        text=True,
        cwd=PACKAGE.parent,
        env={**os.environ, 'PYTHONPATH': paths, 'MYPYPATH': ''},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def needs(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f'{module} is not installed')


def test_package_is_marked_as_typed() -> None:
    assert (PACKAGE / 'py.typed').exists()
    assert (PACKAGE / '_http.pyi').exists()


def test_sample_uses_every_name_of_the_stubs() -> None:
    """But for the base, which only the stubs name, and for pickling."""
    needless = 'self cls state _HttpParser __init__ __new__ __reduce__'
    names = set()
    for node in ast.walk(ast.parse((PACKAGE / '_http.pyi').read_text())):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign):
            names.add(ast.unparse(node.target))
        elif isinstance(node, ast.arg):
            names.add(node.arg)

    used = set(re.findall(r'\w+', SAMPLE.read_text()))

    assert names - {*needless.split(), '__setstate__'} <= used


@pytest.mark.slow
def test_stubs_agree_with_the_module() -> None:
    needs('mypy')
    check('mypy.stubtest', '--concise', 'httptools')


@pytest.mark.slow
def test_mypy_accepts_the_sample() -> None:
    needs('mypy')
    check('mypy', '--strict', '--config-file', os.devnull, str(SAMPLE))


@pytest.mark.slow
def test_pyright_accepts_the_sample() -> None:
    needs('pyright')
    check('pyright', str(SAMPLE))
