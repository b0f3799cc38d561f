"""Makes our loop the one that asyncio's policy makes.

A module for runner.py, to be named before those whose tests ask the policy.
"""

from __future__ import annotations

import asyncio

import uvloop_core


class Policy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return uvloop_core.new_event_loop()


asyncio.set_event_loop_policy(Policy())
