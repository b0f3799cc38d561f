"""Loops of asyncio with a fault; LOSING names it."""

from __future__ import annotations

import asyncio
import os

__version__ = '0'


class Loop(asyncio.SelectorEventLoop):
    fault = os.environ['LOSING']
    calls = 0

    def call_soon(self, callback, *args, context=None):
        """Loses each hundredth callback, or makes another one raise."""
        self.calls += 1
        if self.calls % 100 == 0:
            if self.fault == 'loses':
                callback = int
                args = ()
            elif self.fault == 'raises':
                args = ('too many', 'arguments', 'for', 'this')
        return super().call_soon(callback, *args, context=context)

    async def sock_recv(self, sock, n):
        if self.fault == 'lacks':
            raise NotImplementedError
        data = await super().sock_recv(sock, n)
        return data[:-1] + b'?' if self.fault == 'corrupts' else data


new_event_loop = Loop
