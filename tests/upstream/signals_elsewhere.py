"""uvloop's tests whose parent is on asyncio's loop, the child on ours.

The parent would need subprocess_exec of ours, which comes later (issue 7);
what is tested is in the child.
"""

from __future__ import annotations

import test_dealloc
import test_signals
from uvloop import _testbase


class Signals(test_signals._TestSignal, _testbase.AIOTestCase):
    NEW_LOOP = 'uvloop.new_event_loop()'


class Dealloc(_testbase.AIOTestCase, test_dealloc.TestDealloc):
    pass
