"""CPython's own tests of event loops, and of what runs on one, against ours.

asyncio_mixins.py has the tests that are made for any loop; the others ask the
policy for one, which asyncio_policy.py makes ours.

What fails is in expected.txt, as for uvloop's.
"""

from __future__ import annotations

import sys

import pytest

from tests.upstream import suite

MIXINS = [
    'Events',
    'SockLowlevel',
    'Sendfile',
    'Subprocess',
    'StartServer',
    'BufferedProto',
    'StartTLS',
    'RunTests',
    'RunnerTests',
]

# Whole modules, and the version they came with. The classes that are not
# named beside one are white-box tests, or are in asyncio_mixins.py.
MODULES = {
    'test_context': (3, 11),
    'test_eager_task_factory': (3, 12),
    'test_locks': (3, 11),
    'test_queues': (3, 11),
    'test_server:TestServer2': (3, 12),
    'test_server:UnixServerCleanupTests': (3, 13),
    'test_ssl': (3, 11),
    'test_sslproto:SslProtoHandshakeTests': (3, 11),
    'test_streams': (3, 11),
    'test_taskgroups': (3, 11),
    'test_threads': (3, 11),
    'test_timeouts': (3, 11),
    'test_unix_events:TestFunctional': (3, 11),
    'test_unix_events:TestFork': (3, 12),
    'test_waitfor': (3, 11),
}
HERE = [name for name, since in MODULES.items() if sys.version_info >= since]


@pytest.fixture(autouse=True)
def needs_them() -> None:
    pytest.importorskip(
        'test.test_asyncio', reason='CPython has no tests here'
    )


@pytest.mark.timeout(900)
def test_the_tests_for_any_loop_end_as_expected() -> None:
    results = list(suite.run(suite.HERE, ['asyncio_mixins']))

    wrong = suite.compare(results)
    ran = {name.split('.')[1] for name, _, _ in results}
    assert ran.issuperset(MIXINS)
    assert not wrong, '\n'.join(wrong)


@pytest.mark.timeout(900)
@pytest.mark.parametrize('module', HERE)
def test_the_tests_on_the_policys_loop_end_as_expected(module: str) -> None:
    name = f'test.test_asyncio.{module}'

    results = list(suite.run(suite.HERE, ['asyncio_policy', name]))

    wrong = suite.compare(results)
    assert results, f'{module} has no tests'
    assert not wrong, '\n'.join(wrong)
