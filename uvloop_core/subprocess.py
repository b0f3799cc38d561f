"""subprocess_exec and subprocess_shell, by the standard library's Popen.

The loop hears of a child's end by a pidfd, or by a thread that waits where
there is none. Neither reaps the child: that is done in the loop, and from then
on its pid is not used any more.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import subprocess
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from . import _core
from .base import logger
from .pipes import PipesMixin

P = TypeVar('P', bound=asyncio.BaseProtocol)

# How long to wait for a child that was killed, where no loop hears of its end.
# It takes no time if the kernel is well.
KILL_PATIENCE = 1.0

# What asyncio tells if somebody else has waited for the child.
UNKNOWN_CODE = 255


class SubprocessMixin(PipesMixin):
    """subprocess_exec and subprocess_shell."""

    def __init__(self) -> None:
        super().__init__()
        # Processes whose end is waited for.
        self._children: set[UVProcessTransport] = set()

    def _shut_children(self) -> None:
        """The loop is closed: nobody will hear of the end of a process."""
        for transport in list(self._children):
            transport._stop()
            transport._end()

    async def subprocess_exec(
        self,
        protocol_factory: Callable[[], P],
        program: Any,
        *args: Any,
        stdin: Any = subprocess.PIPE,
        stdout: Any = subprocess.PIPE,
        stderr: Any = subprocess.PIPE,
        universal_newlines: bool = False,
        shell: bool = False,
        bufsize: int = 0,
        encoding: str | None = None,
        errors: str | None = None,
        text: bool | None = None,
        **kwargs: Any,
    ) -> tuple[UVProcessTransport, P]:
        """Run a program with arguments; the rest is for Popen."""
        if universal_newlines:
            raise ValueError('universal_newlines must be False')
        if shell:
            raise ValueError('shell must be False')
        check_binary(bufsize, encoding, errors, text)
        return await self._run_process(
            protocol_factory,
            # What is logged names the program only: the arguments may be
            # secret.
            f'execute program {program!r}',
            (program, *args),
            dict(kwargs, stdin=stdin, stdout=stdout, stderr=stderr),
        )

    async def subprocess_shell(
        self,
        protocol_factory: Callable[[], P],
        cmd: Any,
        *,
        stdin: Any = subprocess.PIPE,
        stdout: Any = subprocess.PIPE,
        stderr: Any = subprocess.PIPE,
        universal_newlines: bool = False,
        shell: bool = True,
        bufsize: int = 0,
        encoding: str | None = None,
        errors: str | None = None,
        text: bool | None = None,
        **kwargs: Any,
    ) -> tuple[UVProcessTransport, P]:
        """Run a command line in a shell; the rest is for Popen."""
        if not isinstance(cmd, bytes | str):
            raise ValueError('cmd must be a string')
        if universal_newlines:
            raise ValueError('universal_newlines must be False')
        if not shell:
            raise ValueError('shell must be True')
        check_binary(bufsize, encoding, errors, text)
        return await self._run_process(
            protocol_factory,
            f'run shell command {cmd!r}',
            cmd,
            dict(
                kwargs, stdin=stdin, stdout=stdout, stderr=stderr, shell=True
            ),
        )

    async def _run_process(
        self,
        protocol_factory: Callable[[], P],
        description: str,
        args: Any,
        options: dict[str, Any],
    ) -> tuple[UVProcessTransport, P]:
        context = contextvars.copy_context()
        protocol = protocol_factory()
        if self.get_debug():
            logger.debug(describe(description, options))
        waiter: asyncio.Future[None] = self.create_future()
        process = subprocess.Popen(args, bufsize=0, **options)
        transport = UVProcessTransport(self, process, protocol, context)
        transport._open(waiter)
        try:
            await waiter
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            transport.close()
            await transport._wait()
            raise
        finally:
            # An exception in it holds the protocol.
            del waiter
        if self.get_debug():
            logger.info('%s: %r', description, transport)
        return transport, protocol


class ProcessPipe(asyncio.Protocol):
    """Between the process's protocol and the transport of one pipe."""

    transport: Any

    def __init__(self, process: UVProcessTransport, fd: int) -> None:
        # None once the pipe is closed.
        self.process: UVProcessTransport | None = process
        self.fd = fd

    def data_received(self, data: bytes) -> None:
        if self.process is not None:
            self.process._pipe_data_received(self.fd, data)

    def connection_lost(self, error: BaseException | None) -> None:
        process, self.process = self.process, None
        if process is not None:
            process._pipe_connection_lost(self.fd, error)

    def pause_writing(self) -> None:
        if self.process is not None:
            self.process._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self.process is not None:
            self.process._protocol.resume_writing()


class UVProcessTransport(asyncio.SubprocessTransport):
    """A child process. Made by subprocess_exec and subprocess_shell.

    The order of its protocol's calls is asyncio's, and all of them are made
    in the context of the call that made it.
    """

    def __init__(
        self,
        loop: SubprocessMixin,
        process: subprocess.Popen[bytes],
        protocol: Any,
        context: contextvars.Context,
    ) -> None:
        super().__init__({'subprocess': process})
        self._loop = loop
        self._proc = process
        self._protocol = protocol
        self._context = context
        # A forked child that has this object does not have the process.
        self._parent = os.getpid()
        self._returncode: int | None = None
        self._exit_waiters: list[asyncio.Future[int]] = []
        self._pipes: dict[int, ProcessPipe] = {}
        self._pidfd = -1
        self._finished = False
        self._closed = False

    def __repr__(self) -> str:
        info = [type(self).__name__]
        if self._closed:
            info.append('closed')
        info.append(f'pid={self._proc.pid}')
        if self._returncode is None:
            info.append('running')
        else:
            info.append(f'returncode={self._returncode}')
        for fd, name in enumerate(('stdin', 'stdout', 'stderr')):
            if fd in self._pipes:
                info.append(f'{name}={self._pipes[fd].transport!r}')
        return f'<{" ".join(info)}>'

    def get_protocol(self) -> Any:
        """The protocol; None once connection_lost was called."""
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Use another protocol from now on."""
        self._protocol = protocol

    def is_closing(self) -> bool:
        """True once close() was called."""
        return self._closed

    def get_pid(self) -> int:
        """The process's id, also after its end."""
        return self._proc.pid

    def get_returncode(self) -> int | None:
        """The exit code, -N for signal N, None while it runs."""
        return self._returncode

    def get_pipe_transport(self, fd: int) -> Any:
        """The transport of the pipe to descriptor 0, 1 or 2, or None."""
        pipe = self._pipes.get(fd)
        return None if pipe is None else pipe.transport

    def send_signal(self, signal: int) -> None:
        """Send a signal; ProcessLookupError if the process has ended."""
        if self._returncode is not None:
            raise ProcessLookupError()
        # If it has ended in this very moment, Popen reaps it and sends
        # nothing: no signal ever goes to a pid that is another's by now.
        self._proc.send_signal(signal)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Close the pipes, and kill the process if it still runs."""
        if not self._closed:
            self._closed = True
            self._stop()

    def __del__(self, _warn: Any = warnings.warn) -> None:
        if not self._closed:
            _warn(f'unclosed transport {self!r}', ResourceWarning, source=self)
            self.close()
        self._end()

    def _stop(self) -> None:
        for pipe in self._pipes.values():
            pipe.transport.close()
        if self._parent == os.getpid() and self._is_running():
            if self._loop.get_debug():
                # As text: what keeps the log would keep the transport.
                logger.warning(
                    'Close running child process: kill %s', repr(self)
                )
            kill(self._proc)

    def _end(self) -> None:
        """After that: leave nothing, without the loop's help."""
        self._unwatch()
        if self._parent == os.getpid() and self._is_running():
            reap(self._proc)
        if self._returncode is None:
            self._returncode = self._proc.returncode
        if self._loop.is_closed():
            # Transports of a closed loop have left them to us.
            self._close_files()

    async def _wait(self) -> int:
        """Wait for the end of the process; returns its exit code."""
        if self._returncode is not None:
            return self._returncode
        waiter: asyncio.Future[int] = self._loop.create_future()
        self._exit_waiters.append(waiter)
        return await waiter

    def _is_running(self) -> bool:
        return self._returncode is None and self._proc.poll() is None

    # How it begins

    def _open(self, waiter: asyncio.Future[None]) -> None:
        """Have all of it watched, and connection_made called."""
        if self._loop.get_debug():
            args: Any = self._proc.args
            logger.debug(
                'process %r created: pid %s',
                args if isinstance(args, bytes | str) else args[0],
                self._proc.pid,
            )
        try:
            self._open_pipe(0, self._proc.stdin, _core.open_write_pipe)
            self._open_pipe(1, self._proc.stdout, _core.open_read_pipe)
            self._open_pipe(2, self._proc.stderr, _core.open_read_pipe)
            self._watch()
            # After the pipes have begun, and before anything comes by them.
            self._loop.call_soon(self._start, waiter, context=self._context)
        except BaseException:
            self._abandon()
            raise

    def _open_pipe(
        self, fd: int, file: Any, open_it: Callable[..., Any]
    ) -> None:
        if file is not None:
            pipe = ProcessPipe(self, fd)
            pipe.transport = open_it(
                self._loop, file, pipe, None, self._context
            )
            self._pipes[fd] = pipe

    def _watch(self) -> None:
        """Have _on_exit called in the loop when the process has ended."""
        self._pidfd = open_pidfd(self._proc.pid)
        if self._pidfd >= 0:
            self._loop._add_reader(self._pidfd, self._on_exit)
        else:
            thread = threading.Thread(
                target=wait_in_thread,
                args=(self._proc.pid, weakref.ref(self)),
                name=f'uvloop_core_wait_{self._proc.pid}',
                daemon=True,
            )
            thread.start()
        self._loop._children.add(self)

    def _unwatch(self) -> None:
        self._loop._children.discard(self)
        pidfd, self._pidfd = self._pidfd, -1
        if pidfd >= 0:
            if not self._loop.is_closed():
                self._loop._remove_reader(pidfd)
            os.close(pidfd)

    def _abandon(self) -> None:
        """It could not be watched: leave no process and no pipe."""
        for pipe in self._pipes.values():
            pipe.process = None
        self.close()
        self._close_files()
        self._end()

    def _close_files(self) -> None:
        """Close those that no transport is going to close."""
        files = (self._proc.stdin, self._proc.stdout, self._proc.stderr)
        for fd, file in enumerate(files):
            if file is not None and (
                fd not in self._pipes or self._loop.is_closed()
            ):
                file.close()

    def _start(self, waiter: asyncio.Future[None]) -> None:
        try:
            self._protocol.connection_made(self)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            # As over TCP: reported, not raised, and nobody else closes it.
            self._loop.call_exception_handler(
                {
                    'message': 'Fatal error: protocol.connection_made() call'
                    ' failed.',
                    'exception': error,
                    'transport': self,
                    'protocol': self._protocol,
                }
            )
            self.close()
        if not waiter.done():
            waiter.set_result(None)

    # What comes

    def _call(self, callback: Callable[..., object], *args: Any) -> None:
        self._loop.call_soon(callback, *args, context=self._context)

    def _pipe_data_received(self, fd: int, data: bytes) -> None:
        self._call(self._protocol.pipe_data_received, fd, data)

    def _pipe_connection_lost(
        self, fd: int, error: BaseException | None
    ) -> None:
        self._call(self._protocol.pipe_connection_lost, fd, error)
        self._try_finish()

    def _on_exit(self) -> None:
        """The process has ended."""
        if self._returncode is not None:
            return
        self._unwatch()
        self._returncode = exit_code(self._proc)
        if self._loop.get_debug():
            logger.info(
                '%r exited with return code %r', self, self._returncode
            )
        self._call(self._protocol.process_exited)
        waiters, self._exit_waiters = self._exit_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(self._returncode)
        self._try_finish()

    def _try_finish(self) -> None:
        """connection_lost comes once the process and its pipes have ended."""
        if self._returncode is None or self._finished:
            return
        if all(pipe.process is None for pipe in self._pipes.values()):
            self._finished = True
            self._call(self._call_connection_lost)

    def _call_connection_lost(self) -> None:
        protocol, self._protocol = self._protocol, None
        protocol.connection_lost(None)


def check_binary(
    bufsize: object, encoding: object, errors: object, text: object
) -> None:
    """Streams are of bytes, and transports have buffers of their own."""
    if bufsize != 0:
        raise ValueError('bufsize must be 0')
    if text:
        raise ValueError('text must be False')
    if encoding is not None:
        raise ValueError('encoding must be None')
    if errors is not None:
        raise ValueError('errors must be None')


def describe(description: str, options: dict[str, Any]) -> str:
    """What is to be run, for the debug log."""
    info = [description]
    streams = [options[name] for name in ('stdin', 'stdout', 'stderr')]
    names = ['stdin', 'stdout', 'stderr']
    if streams[1] is not None and streams[2] == subprocess.STDOUT:
        names[1:] = ['stdout=stderr']
    for name, stream in zip(names, streams, strict=False):
        if stream is not None:
            info.append(f'{name}={describe_stream(stream)}')
    return ' '.join(info)


def describe_stream(stream: Any) -> str:
    if stream == subprocess.PIPE:
        return '<pipe>'
    if stream == subprocess.STDOUT:
        return '<stdout>'
    return repr(stream)


def open_pidfd(pid: int) -> int:
    """What is readable once the process has ended; -1 if it cannot be had."""
    if _core.portable or not hasattr(os, 'pidfd_open'):
        return -1
    try:
        return os.pidfd_open(pid)
    except OSError:
        # Linux before 5.3, a sandbox that forbids it, or too many files.
        return -1


def wait_in_thread(
    pid: int, reference: weakref.ref[UVProcessTransport]
) -> None:
    """What stands in for a pidfd: the process is waited for, not reaped."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    except ChildProcessError:
        # Somebody else has waited for it: it has ended all the same.
        pass
    transport = reference()
    if transport is None:
        return
    try:
        transport._loop.call_soon_threadsafe(transport._on_exit)
    except RuntimeError:
        # The loop was closed meanwhile: nobody waits any more.
        if not transport._loop.is_closed():
            raise


def exit_code(process: subprocess.Popen[bytes]) -> int:
    """Reap a process that has ended."""
    if process.returncode is None:
        try:
            _, status = os.waitpid(process.pid, 0)
        except ChildProcessError:
            process.returncode = UNKNOWN_CODE
            logger.warning(
                'child process pid %d exit status already read:  will report'
                ' returncode 255',
                process.pid,
            )
        else:
            process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode


def kill(process: subprocess.Popen[bytes]) -> None:
    try:
        process.kill()
    except PermissionError:
        # It runs with another user's rights.
        pass


def reap(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process that was killed."""
    try:
        process.wait(KILL_PATIENCE)
    except subprocess.TimeoutExpired:
        # Popen tries again when it is next used.
        pass
