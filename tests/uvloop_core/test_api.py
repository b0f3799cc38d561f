"""Every method of asyncio's loop is there, with each of its arguments.

asyncio as the running Python has it is the oracle. The table of the methods
in docs/compatibility.md is held to it and to ours; what it says of uvloop is
checked by tests/upstream/test_uvloop.py.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from asyncio import selector_events, unix_events

import pytest

import uvloop_core
from tests.compatibility import names_in, read_methods
from uvloop_core import loop as module
from uvloop_core.subprocess import UVProcessTransport

# asyncio's class, and ours that stands for it.
LOOPS = unix_events.SelectorEventLoop, uvloop_core.Loop
PAIRS = [
    LOOPS,
    (asyncio.Handle, module.Handle),
    (asyncio.TimerHandle, module.TimerHandle),
    (asyncio.Server, module.Server),
    (selector_events._SelectorSocketTransport, module.TCPTransport),
    (selector_events._SelectorSocketTransport, module.UnixTransport),
    (selector_events._SelectorDatagramTransport, module.UDPTransport),
    (unix_events._UnixReadPipeTransport, module.ReadUnixTransport),
    (unix_events._UnixWritePipeTransport, module.WriteUnixTransport),
    (unix_events._UnixSubprocessTransport, UVProcessTransport),
]
# Of transports: a call with one argument and no name is a fast one.
WITHOUT_NAMES = {'set_protocol', 'write', 'writelines'}
POSITIONAL = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)
VARIABLE = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD


def public(kind):
    """The names of its methods."""
    return [
        name
        for name in dir(kind)
        if not name.startswith('_') and callable(getattr(kind, name))
    ]


def arguments(function):
    """Its parameters by name, but for self."""
    return dict(list(inspect.signature(function).parameters.items())[1:])


def differences(theirs, ours):
    """What cannot be given to ours as it is given to theirs."""
    theirs, ours = arguments(theirs), arguments(ours)
    places = [name for name, each in ours.items() if each.kind in POSITIONAL]
    for place, (name, wanted) in enumerate(theirs.items()):
        found = ours.get(name)
        if found is None:
            yield f'{name} is missing'
        elif found.default != wanted.default:
            yield f'{name} is {found.default} by default'
        elif found.kind != wanted.kind:
            yield f'{name} is {found.kind.description}'
        elif wanted.kind in POSITIONAL and places[place : place + 1] != [name]:
            yield f'{name} is in another place'
    for name in ours.keys() - theirs.keys():
        added = ours[name]
        # One more place would take what is meant for *args.
        in_the_way = added.kind in POSITIONAL and 'args' in theirs
        needed = added.default is added.empty and added.kind not in VARIABLE
        if needed or in_the_way:
            yield f'{name} is too much'


METHODS = [
    pytest.param(theirs, ours, name, id=f'{ours.__name__}.{name}')
    for theirs, ours in PAIRS
    for name in public(theirs)
    if name not in WITHOUT_NAMES
]


@pytest.mark.parametrize(('theirs', 'ours', 'name'), METHODS)
def test_a_method_takes_what_asyncios_takes(theirs, ours, name):
    found = differences(getattr(theirs, name), getattr(ours, name))

    assert list(found) == []


@pytest.mark.parametrize(
    ('function', 'told'),
    [
        (lambda self, a, *, k=1: 0, ['args is missing']),
        (lambda self, a, *args: 0, ['k is missing']),
        (lambda self, a, *args, k=2: 0, ['k is 2 by default']),
        (lambda self, a, /, *args, k=1: 0, ['a is positional-only']),
        (lambda self, z, a, *args, k=1: 0, ['a is in another place',
                                            'z is too much']),
        (lambda self, a, *args, k=1, z: 0, ['z is too much']),
        (lambda self, a, z=0, *args, k=1: 0, ['z is too much']),
        (lambda self, a, *args, k=1, z=0, **more: 0, []),
    ],
)  # fmt: skip
def test_a_difference_is_found(function, told):
    found = differences(lambda self, a, *args, k=1: 0, function)

    assert list(found) == told


@pytest.mark.parametrize('name', public(LOOPS[0]))
def test_what_is_awaited_in_asyncio_is_awaited_here(name):
    theirs, ours = (getattr(kind, name) for kind in LOOPS)

    assert inspect.iscoroutinefunction(ours) == (
        inspect.iscoroutinefunction(theirs)
    )


@pytest.mark.parametrize('kind', [asyncio.AbstractEventLoop, LOOPS[0]])
def test_the_table_has_a_row_for_each_method(kind):
    assert set(public(kind)) <= set(read_methods()) <= set(public(LOOPS[1]))


@pytest.mark.parametrize('name', public(LOOPS[0]))
def test_the_table_says_what_arguments_there_are(name):
    row = read_methods()[name]
    theirs, ours = (arguments(getattr(kind, name)) for kind in LOOPS)
    later = {
        argument
        for argument, version in row.since().items()
        if version > sys.version_info
    }

    if 'kwargs' not in theirs:
        assert set(row.since()) - later <= set(theirs)
        assert not later & set(theirs)
        added = set(ours) - set(theirs) - {'kwargs'} - later
        assert added == names_in(row.here)
    if 'kwargs' not in ours:
        assert set(row.since()) <= set(ours)
