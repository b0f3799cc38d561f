"""What goes wrong: the exception handler and debug mode's log."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Callable
from typing import Any

from . import _core
from .base import LoopBase, logger

ExceptionHandler = Callable[
    [asyncio.AbstractEventLoop, dict[str, Any]], object
]

# From here on a handler runs in the context of what has failed.
HANDLER_HAS_CONTEXT = sys.version_info >= (3, 12)

TRACEBACKS = {
    'source_traceback': 'Object created at (most recent call last):\n',
    'handle_traceback': 'Handle created at (most recent call last):\n',
}


class ReportMixin(LoopBase):
    """The exception handler and debug mode's log."""

    _exception_handler: ExceptionHandler | None = None

    def get_exception_handler(self) -> ExceptionHandler | None:
        """Return the handler, None if it is the default one."""
        return self._exception_handler

    def set_exception_handler(self, handler: ExceptionHandler | None) -> None:
        """Have handler(loop, context) called for what nobody else catches."""
        if handler is not None and not callable(handler):
            raise TypeError(
                f'A callable object or None is expected, got {handler!r}'
            )
        self._exception_handler = handler

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Call the exception handler; 'message' is the one key required."""
        if self._exception_handler is None:
            self._report_by_default(
                context, 'Exception in default exception handler'
            )
            return
        try:
            self._call_handler(self._exception_handler, context)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            failure = {
                'message': 'Unhandled error in exception handler',
                'exception': error,
                'context': context,
            }
            self._report_by_default(
                failure,
                'Exception in default exception handler while handling an'
                ' unexpected error in custom exception handler',
            )

    def _report_by_default(self, context: dict[str, Any], failed: str) -> None:
        try:
            self.default_exception_handler(context)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            # default_exception_handler is there to be overridden.
            logger.error(failed, exc_info=True)

    def _call_handler(
        self, handler: ExceptionHandler, context: dict[str, Any]
    ) -> None:
        own = context_of(context) if HANDLER_HAS_CONTEXT else None
        if own is None:
            handler(self, context)
        else:
            own.run(handler, self, context)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Log the message, the exception and everything else in context."""
        exception = context.get('exception')
        lines = [context.get('message') or 'Unhandled exception in event loop']
        lines += [
            f'{key}: {describe(key, context[key])}'
            for key in sorted(context)
            if key not in ('message', 'exception')
        ]
        logger.error(
            '\n'.join(lines),
            exc_info=False
            if exception is None
            else (type(exception), exception, exception.__traceback__),
        )

    def _slow_callback(
        self, handle: _core.Handle | _core.TimerHandle, seconds: float
    ) -> None:
        """In debug mode, what took slow_callback_duration or longer."""
        owner = getattr(handle._callback, '__self__', None)
        # As text: the handle forgets its callback after this.
        shown = repr(owner if isinstance(owner, asyncio.Task) else handle)
        logger.warning('Executing %s took %.3f seconds', shown, seconds)


def describe(key: str, value: Any) -> str:
    if key in TRACEBACKS:
        return TRACEBACKS[key] + ''.join(traceback.format_list(value)).rstrip()
    return repr(value)


def context_of(context: dict[str, Any]) -> Any:
    """The contextvars.Context of the task or handle that has failed."""
    for key in ('task', 'future', 'handle'):
        # A task may well come under the key of a future, which has none.
        failed = context.get(key)
        if failed is not None:
            get_context = getattr(failed, 'get_context', None)
            own = get_context() if get_context is not None else None
            return own if hasattr(own, 'run') else None
    return None
