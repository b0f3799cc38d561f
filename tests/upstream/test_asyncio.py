"""CPython's own tests of event loops against ours; see asyncio_mixins.py.

What fails is in expected.txt, as for uvloop's.
"""

from __future__ import annotations

import pytest

from tests.upstream import suite

CLASSES = [
    'Events',
    'SockLowlevel',
    'Sendfile',
    'Subprocess',
    'StartServer',
    'BufferedProto',
    'StartTLS',
]


@pytest.mark.timeout(900)
def test_asyncios_tests_end_as_expected() -> None:
    pytest.importorskip(
        'test.test_asyncio', reason='CPython has no tests here'
    )

    results = list(suite.run(suite.HERE, ['asyncio_mixins']))

    wrong = suite.compare(results)
    ran = {name.split('.')[1] for name, _, _ in results}
    assert ran.issuperset(CLASSES)
    assert not wrong, '\n'.join(wrong)
