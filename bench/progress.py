"""How far a run has come: a bar on a terminal, else a line a step."""

from __future__ import annotations

import sys
import time

WIDTH = 20  # of the bar


class Progress:
    """What is left is foretold by what the steps of this run took."""

    def __init__(self, steps: int, done: int = 0) -> None:
        self.steps = steps
        self.done = self.before = done
        self.began = time.monotonic()
        self.is_terminal = sys.stderr.isatty()

    def left(self) -> str:
        own = self.done - self.before
        if not own:
            return ''
        seconds = time.monotonic() - self.began
        seconds *= (self.steps - self.done) / own
        return f', {seconds // 60:.0f}:{seconds % 60:02.0f} left'

    def step(self, text: str) -> None:
        """Begins a step."""
        full = WIDTH * self.done // max(self.steps, 1)
        line = f'{self.done + 1}/{self.steps}{self.left()}] {text}'
        self.done += 1
        if self.is_terminal:
            bar = '#' * full + '.' * (WIDTH - full)
            line = f'\r\x1b[K[{bar} {line}'
            print(line, end='', file=sys.stderr, flush=True)
        else:
            print(f'[{line}', file=sys.stderr, flush=True)

    def end(self) -> None:
        if self.is_terminal:
            print('\r\x1b[K', end='', file=sys.stderr, flush=True)
