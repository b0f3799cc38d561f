"""The architecture, where a scan of the sources can hold it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

# Lowest first, as in the design. A file includes its own header, include/ and
# lower layers. A header may also include those of its own layer, and so may a
# file without a header of its own: run.c is a part of what loop.h declares.
LAYERS = {
    'httptools': [
        'chars spare llhttp_sse42',
        'state errors',
        'spans head policy scan',
        'events',
        'guard',
        'calls',
        'hooks',
        'feed',
        'parser url writer',
        'module',
    ],
    'uvloop_core': [
        'libuv_hooks',
        'state errors forks',
        'enter addr cork literal task',
        'handle req callback reader',
        'ready timers inbox poll loop run reading',
        'server endpoint transport datagrams',
        'waiter',
        'sockets dial',
        'stream stream_read stream_write',
        'connection',
        'tcp unix pipe listener udp fs_event'
        ' tls tls_calls tls_phases tls_read tls_write tls_transport',
        'kinds module',
    ],
}
# Where design.md says that Python is left and entered, and a handle closed.
ONLY_IN = {
    'PyEval_SaveThread': {'poll.c'},
    'PyEval_RestoreThread': {'poll.c'},
    'Py_BEGIN_ALLOW_THREADS': set(),
    'PyGILState_Ensure': set(),
    'uv_close': {'handle.c'},
    'PyContext_Enter': {'enter.c'},
    'PyContext_Exit': {'enter.c'},
    'epoll_pwait': {'poll.c'},
    'epoll_wait': {'poll.c'},
    'epoll_ctl': {'poll.c'},
}
FILES = sorted(
    path for name in LAYERS for path in (ROOT / name / 'src').glob('*.[ch]')
)


def layer_of(package: str, stem: str) -> int:
    for level, names in enumerate(LAYERS[package]):
        if stem in names.split():
            return level
    raise AssertionError(f'{package}: {stem} is in no layer of this test')


def code_of(path: Path) -> str:
    """Without comments and strings, which may name anything."""
    text = re.sub(r'/\*.*?\*/', ' ', path.read_text(), flags=re.S)
    return re.sub(r'"(\\.|[^"\\\n])*"', '""', text)


@pytest.mark.parametrize(
    'path', FILES, ids=lambda p: f'{p.parts[-3]}-{p.name}'
)
def test_a_file_includes_only_lower_layers(path):
    package = path.parts[-3]
    level = layer_of(package, path.stem)
    if path.suffix == '.c' and path.with_suffix('.h').exists():
        level -= 1
    shared = {header.name for header in (ROOT / 'include').glob('*.h')}
    included = re.findall(r'^\s*#\s*include\s+"(.+)"', path.read_text(), re.M)

    wrong = []
    for name in included:
        stem = name.removesuffix('.h')
        if name in shared or stem == path.stem or '/' in name:
            continue
        if name in ('uv.h', 'llhttp.h', 'Python.h'):
            wrong.append(f'{name} is not ours: <{name}>')
        elif layer_of(package, stem) > level:
            wrong.append(f'{name} is not in a lower layer')
    assert wrong == []


@pytest.mark.parametrize('name', ONLY_IN)
def test_a_border_is_crossed_in_one_file(name):
    users = {
        path.name
        for path in FILES
        if path.name != 'libuv_hooks.h'
        and re.search(rf'\b{name}\b', code_of(path))
    }

    assert users <= ONLY_IN[name]
