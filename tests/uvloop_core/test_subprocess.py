"""subprocess_exec, subprocess_shell, and asyncio's subprocesses on them."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import gc
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading

import pytest

from uvloop_core import subprocess as processes

PATTERN = bytes(range(256)) * 4096  # 1 MiB


class Recorder(asyncio.SubprocessProtocol):
    """Remembers what it was told, and can be waited for."""

    def __init__(self) -> None:
        self.calls: list[tuple] = []
        self.data = {1: b'', 2: b''}
        self.exited = asyncio.Event()
        self.lost = asyncio.Event()
        self.resumed = asyncio.Event()

    def connection_made(self, transport):
        self.calls.append(('connection_made',))
        self.transport = transport

    def pipe_data_received(self, fd, data):
        self.calls.append(('pipe_data_received', fd))
        self.data[fd] += data

    def pipe_connection_lost(self, fd, error):
        self.calls.append(('pipe_connection_lost', fd))

    def process_exited(self):
        self.calls.append(('process_exited',))
        self.exited.set()

    def connection_lost(self, error):
        self.calls.append(('connection_lost', error))
        self.lost.set()

    def pause_writing(self):
        self.calls.append(('pause_writing',))

    def resume_writing(self):
        self.calls.append(('resume_writing',))
        self.resumed.set()


@pytest.fixture(params=['pidfd', 'thread'])
def by(request, monkeypatch):
    """Both ways in which our loop hears of the end of a child."""
    if request.param == 'thread':
        monkeypatch.setattr(processes, 'open_pidfd', lambda pid: -1)


@pytest.fixture
def run(loop):
    return loop.run_until_complete


async def finish(transport, protocol):
    await protocol.lost.wait()
    transport.close()


def is_gone(pid: int) -> bool:
    """It was waited for: neither running nor a zombie."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


async def output(*args, **kwargs) -> bytes:
    """What a program prints."""
    process = await asyncio.create_subprocess_exec(
        *args, stdout=subprocess.PIPE, **kwargs
    )
    out, _ = await process.communicate()
    return out


# asyncio's own


def test_what_is_written_comes_back(loop, run):
    async def main():
        process = await asyncio.create_subprocess_exec(
            'cat', stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        out, err = await process.communicate(PATTERN)
        assert (out == PATTERN, err) == (True, None)
        assert process.returncode == 0

    run(main())


@pytest.mark.parametrize('command', ['echo $A; exit 3', b'echo $A; exit 3'])
def test_a_shell_runs_a_command(loop, run, command):
    async def main():
        process = await asyncio.create_subprocess_shell(
            command, stdout=subprocess.PIPE, env={'A': 'spam'}
        )
        out, _ = await process.communicate()
        assert (out, process.returncode) == (b'spam\n', 3)

    run(main())


def test_many_at_once(loop, run):
    async def main():
        outs = await asyncio.gather(
            *(output('echo', str(number)) for number in range(20))
        )
        assert [int(out) for out in outs] == list(range(20))

    run(main())


def test_streams_are_pipes_that_can_be_opened_by_name(loop, run):
    async def main():
        process = await asyncio.create_subprocess_exec(
            *('cat', '/dev/stdin'),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        out, _ = await process.communicate(b'data')
        assert out == b'data'

    run(main())


# Keywords


def keywords():
    yield 'env', {'env': {'A': 'b'}}, 'echo $A', b'b\n'
    yield 'cwd', {'cwd': '/'}, 'pwd', b'/\n'
    yield 'umask', {'umask': 0o45}, 'umask', b'0045\n'
    yield 'executable', {'executable': '/bin/echo'}, 'x', b'-c x\n'
    yield 'preexec_fn', {'preexec_fn': lambda: os.chdir('/')}, 'pwd', b'/\n'


@pytest.mark.parametrize(
    ('options', 'command', 'expected'),
    [pytest.param(*rest, id=name) for name, *rest in keywords()],
)
def test_keywords_are_popens(loop, run, options, command, expected):
    assert run(output('sh', '-c', command, **options)) == expected


@pytest.mark.parametrize(
    ('options', 'call'),
    [
        ({'start_new_session': True}, os.getsid),
        ({'process_group': 0}, os.getpgid),
    ],
)
def test_a_child_may_lead_a_session_or_a_group(loop, run, options, call):
    async def main():
        process = await asyncio.create_subprocess_exec(
            'cat', stdin=subprocess.PIPE, **options
        )
        assert call(process.pid) == process.pid
        await process.communicate(b'')

    run(main())


def test_descriptors_are_passed_on_if_named(loop, run):
    reader, writer = os.pipe()
    command = f'echo data > /dev/fd/{writer}'
    run(output('sh', '-c', command, pass_fds=[writer]))
    os.close(writer)

    assert os.read(reader, 100) == b'data\n'
    os.close(reader)


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        ({'stdout': subprocess.PIPE, 'stderr': subprocess.STDOUT}, b'oe'),
        ({'stdout': subprocess.DEVNULL, 'stderr': subprocess.PIPE}, b'e'),
        ({'stdout': None, 'stderr': subprocess.PIPE}, b'e'),
        ({'stdout': subprocess.PIPE, 'stderr': subprocess.DEVNULL}, b'o'),
    ],
)
def test_streams_may_go_elsewhere(loop, run, options, expected):
    async def main():
        process = await asyncio.create_subprocess_shell(
            'printf o; printf e >&2', stdin=subprocess.DEVNULL, **options
        )
        outs = await process.communicate()
        assert b''.join(filter(None, outs)) == expected

    run(main())


def test_a_file_may_be_a_stream(loop, run):
    with tempfile.TemporaryFile() as file:

        async def main():
            process = await asyncio.create_subprocess_shell(
                'printf data', stdout=file
            )
            assert await process.wait() == 0

        run(main())
        file.seek(0)
        assert file.read() == b'data'


# Arguments that do not fit


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'universal_newlines': True}, 'universal_newlines must be False'),
        ({'bufsize': 4096}, 'bufsize must be 0'),
        ({'text': True}, 'text must be False'),
        ({'encoding': 'utf-8'}, 'encoding must be None'),
        ({'errors': 'strict'}, 'errors must be None'),
    ],
)
def test_streams_are_of_bytes(loop, run, options, message):
    with pytest.raises(ValueError, match=message):
        run(loop.subprocess_exec(Recorder, 'true', **options))
    with pytest.raises(ValueError, match=message):
        run(loop.subprocess_shell(Recorder, 'true', **options))


def test_a_shell_is_not_a_program(loop, run):
    with pytest.raises(ValueError, match='shell must be False'):
        run(loop.subprocess_exec(Recorder, 'true', shell=True))
    with pytest.raises(ValueError, match='shell must be True'):
        run(loop.subprocess_shell(Recorder, 'true', shell=False))
    with pytest.raises(ValueError, match='cmd must be a string'):
        run(loop.subprocess_shell(Recorder, ['true']))


def test_defaults_may_be_said(loop, run):
    run(
        output(
            *('true',),
            encoding=None,
            errors=None,
            text=None,
            user=None,
            group=None,
            extra_groups=None,
            umask=-1,
            pipesize=-1,
            process_group=None,
            close_fds=True,
            restore_signals=True,
        )
    )


def test_an_unknown_keyword_is_a_type_error(our_loop):
    with pytest.raises(TypeError, match='spam'):
        our_loop.run_until_complete(
            our_loop.subprocess_exec(Recorder, 'true', spam=1)
        )


def test_a_program_that_is_not_there_leaves_nothing(our_loop):
    with pytest.raises(FileNotFoundError, match='/not/there'):
        our_loop.run_until_complete(
            our_loop.subprocess_exec(Recorder, '/not/there')
        )


def test_a_preexec_fn_that_raises_leaves_nothing(our_loop):
    with pytest.raises(subprocess.SubprocessError, match='in preexec_fn'):
        our_loop.run_until_complete(
            our_loop.subprocess_exec(
                Recorder, 'true', preexec_fn=lambda: 1 / 0
            )
        )


def test_a_factory_that_raises_starts_nothing(loop, run, tmp_path):
    mark = tmp_path / 'mark'
    with pytest.raises(ZeroDivisionError):
        run(loop.subprocess_exec(lambda: 1 / 0, 'touch', str(mark)))

    assert not mark.exists()


# The protocol


def test_the_order_of_calls(loop, run, by):
    async def main():
        transport, protocol = await loop.subprocess_exec(
            Recorder, 'sh', '-c', 'read x; echo out; exit 7'
        )
        assert protocol.calls == [('connection_made',)]
        assert protocol.transport is transport
        transport.get_pipe_transport(0).write(b'go\n')
        await finish(transport, protocol)
        assert protocol.data == {1: b'out\n', 2: b''}
        assert protocol.calls[-1] == ('connection_lost', None)
        assert sorted(protocol.calls[1:-1]) == [
            ('pipe_connection_lost', 0),
            ('pipe_connection_lost', 1),
            ('pipe_connection_lost', 2),
            ('pipe_data_received', 1),
            ('process_exited',),
        ]
        assert transport.get_returncode() == 7

    run(main())


def test_a_process_without_pipes(loop, run, by):
    async def main():
        transport, protocol = await loop.subprocess_exec(
            Recorder, 'true', stdin=None, stdout=None, stderr=None
        )
        assert transport.get_pipe_transport(0) is None
        await finish(transport, protocol)
        assert [name for name, *_ in protocol.calls] == [
            'connection_made',
            'process_exited',
            'connection_lost',
        ]

    run(main())


def test_writing_to_a_process_is_paused_and_resumed(loop, run):
    async def main():
        transport, protocol = await loop.subprocess_exec(Recorder, 'cat')
        into = transport.get_pipe_transport(0)
        into.write(PATTERN)
        assert protocol.calls[-1] == ('pause_writing',)
        await protocol.resumed.wait()
        into.write_eof()
        await finish(transport, protocol)
        assert protocol.data[1] == PATTERN

    run(main())


def test_all_calls_are_made_in_the_context_of_the_call(our_loop):
    variable = contextvars.ContextVar('variable', default='')
    seen = {}

    class Protocol(Recorder):
        def __getattribute__(self, name):
            if not name.startswith('_'):
                seen.setdefault(name, set()).add(variable.get())
            return super().__getattribute__(name)

        def connection_made(self, transport):
            variable.set('made')
            super().connection_made(transport)

    async def main():
        variable.set('call')
        transport, protocol = await our_loop.subprocess_exec(
            Protocol, 'sh', '-c', 'cat; echo err >&2'
        )
        transport.get_pipe_transport(0).write(PATTERN)
        transport.get_pipe_transport(0).write_eof()
        await finish(transport, protocol)

    our_loop.run_until_complete(main())

    for name in ('pause_writing', 'resume_writing'):
        assert seen[name] == {'made'}


def test_another_protocol_can_be_set(loop, run):
    async def main():
        transport, first = await loop.subprocess_exec(Recorder, 'cat')
        second = Recorder()
        transport.set_protocol(second)
        assert transport.get_protocol() is second
        transport.get_pipe_transport(0).close()
        await finish(transport, second)
        assert first.calls == [('connection_made',)]

    run(main())


# The transport


def test_what_the_transport_tells_of_itself(loop, run):
    async def main():
        transport, protocol = await loop.subprocess_exec(Recorder, 'cat')
        process = transport.get_extra_info('subprocess')
        assert isinstance(transport, asyncio.SubprocessTransport)
        assert transport.get_pid() == process.pid
        assert transport.get_returncode() is None
        assert isinstance(
            transport.get_pipe_transport(0), asyncio.WriteTransport
        )
        for fd in (1, 2):
            assert isinstance(
                transport.get_pipe_transport(fd), asyncio.ReadTransport
            )
        assert transport.get_pipe_transport(3) is None
        assert not transport.is_closing()
        transport.get_pipe_transport(0).close()
        await finish(transport, protocol)
        assert transport.is_closing()
        assert transport.get_pid() == process.pid
        assert transport.get_protocol() is None
        assert process.returncode == transport.get_returncode() == 0

    run(main())


def test_repr(our_loop):
    async def main():
        transport, protocol = await our_loop.subprocess_exec(
            Recorder, 'cat', stderr=None
        )
        pid = transport.get_pid()
        start = f'<UVProcessTransport pid={pid} running stdin=<WriteUnixTran'
        assert repr(transport).startswith(start)
        assert 'stdout=<ReadUnixTransport fd=' in repr(transport)
        transport.get_pipe_transport(0).close()
        await finish(transport, protocol)
        start = f'<UVProcessTransport closed pid={pid} returncode=0 '
        assert repr(transport).startswith(start)

    our_loop.run_until_complete(main())


def test_signals_are_sent(loop, run, by):
    async def main(send, expected):
        transport, protocol = await loop.subprocess_exec(Recorder, 'cat')
        send(transport)
        await finish(transport, protocol)
        assert transport.get_returncode() == -expected

    run(main(lambda transport: transport.kill(), signal.SIGKILL))
    run(main(lambda transport: transport.terminate(), signal.SIGTERM))
    # Not SIGHUP: under nohup it is ignored, by the child too.
    run(
        main(
            lambda transport: transport.send_signal(signal.SIGUSR1),
            signal.SIGUSR1,
        )
    )


def test_a_process_that_has_ended_gets_no_signal(our_loop):
    async def main():
        transport, protocol = await our_loop.subprocess_exec(Recorder, 'true')
        await finish(transport, protocol)
        for send in (transport.kill, transport.terminate):
            with pytest.raises(ProcessLookupError):
                send()
        with pytest.raises(ProcessLookupError):
            transport.send_signal(0)

    our_loop.run_until_complete(main())


def test_nor_one_whose_end_was_not_noticed_yet(our_loop, monkeypatch):
    """It is no error, as long as nobody could know."""

    async def main():
        transport, protocol = await our_loop.subprocess_exec(Recorder, 'cat')
        pid = transport.get_pid()
        os.kill(pid, signal.SIGTERM)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        with monkeypatch.context() as patch:
            patch.setattr(os, 'kill', None)
            transport.kill()
        await finish(transport, protocol)
        assert transport.get_returncode() == -signal.SIGTERM

    our_loop.run_until_complete(main())


def test_wait_ends_with_the_process_even_if_a_pipe_stays(our_loop):
    async def main():
        transport, protocol = await our_loop.subprocess_exec(
            *(Recorder, 'sh', '-c', 'sleep 100 & echo $!'), stdin=None
        )
        assert await transport._wait() == 0
        while not protocol.data[1]:
            await asyncio.sleep(0)
        assert not protocol.lost.is_set()
        os.kill(int(protocol.data[1]), signal.SIGKILL)
        await finish(transport, protocol)
        assert await transport._wait() == 0

    our_loop.run_until_complete(main())


def test_close_kills_a_running_process(loop, run, by):
    async def main():
        transport, protocol = await loop.subprocess_exec(Recorder, 'cat')
        transport.close()
        transport.close()
        assert transport.is_closing()
        await protocol.lost.wait()
        assert transport.get_returncode() == -signal.SIGKILL
        assert is_gone(transport.get_pid())

    run(main())


def test_a_closed_reader_is_told(loop, run):
    async def main():
        transport, protocol = await loop.subprocess_exec(
            Recorder, 'sh', '-c', 'exec <&-; read x < /dev/stderr', stderr=None
        )
        while ('pipe_connection_lost', 0) not in protocol.calls:
            await asyncio.sleep(0.001)
        transport.close()
        await protocol.lost.wait()

    run(main())


def test_debug_mode_logs(loop, run, caplog):
    loop.set_debug(True)

    async def main():
        transport, protocol = await loop.subprocess_exec(
            Recorder, 'cat', 'secret', stderr=subprocess.STDOUT
        )
        await finish(transport, protocol)
        transport, protocol = await loop.subprocess_shell(Recorder, 'cat')
        transport.close()
        await protocol.lost.wait()

    with caplog.at_level(logging.DEBUG, 'asyncio'):
        run(main())

    for text in (
        "execute program 'cat' stdin=<pipe> stdout=stderr=<pipe>",
        "process 'cat' created: pid ",
        "run shell command 'cat' stdin=<pipe> stdout=<pipe> stderr=<pipe>",
        'exited with return code 1',
        'Close running child process: kill ',
    ):
        assert text in caplog.text
    assert 'secret' not in caplog.text


# What goes wrong


def test_a_cancelled_call_leaves_no_process(loop, run, by):
    async def main():
        made = []

        class Protocol(Recorder):
            def connection_made(self, transport):
                made.append(transport)
                task.cancel()

        task = asyncio.ensure_future(loop.subprocess_exec(Protocol, 'cat'))
        with pytest.raises(asyncio.CancelledError):
            await task
        [transport] = made
        assert transport.get_returncode() == -signal.SIGKILL
        assert is_gone(transport.get_pid())
        for _ in range(5):
            await asyncio.sleep(0)

    run(main())


def test_a_connection_made_that_raises_closes_it(our_loop, reports, by):
    class Protocol(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            raise ZeroDivisionError

    async def main():
        transport, protocol = await our_loop.subprocess_exec(Protocol, 'cat')
        assert transport.is_closing()
        await protocol.lost.wait()
        assert is_gone(transport.get_pid())
        [report] = reports.take()
        assert report['transport'] is transport
        assert isinstance(report['exception'], ZeroDivisionError)

    our_loop.run_until_complete(main())


def test_a_thread_that_cannot_start_leaves_nothing(our_loop, monkeypatch):
    def refuse(pid, flags=0):
        raise OSError(errno.EMFILE, 'too many')

    def fail(thread):
        raise RuntimeError("can't start new thread")

    async def main():
        monkeypatch.setattr(os, 'pidfd_open', refuse, raising=False)
        monkeypatch.setattr(threading.Thread, 'start', fail)
        with pytest.raises(RuntimeError, match='start new thread'):
            await our_loop.subprocess_exec(Recorder, 'cat')
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    our_loop.run_until_complete(main())


def test_a_process_that_somebody_else_waited_for(our_loop, by, caplog):
    async def main():
        transport, protocol = await our_loop.subprocess_exec(Recorder, 'cat')
        os.kill(transport.get_pid(), signal.SIGKILL)
        os.waitpid(transport.get_pid(), 0)
        await finish(transport, protocol)
        assert transport.get_returncode() == 255

    our_loop.run_until_complete(main())

    assert 'exit status already read' in caplog.text


def test_a_process_that_popen_has_waited_for(our_loop, by):
    async def main():
        transport, protocol = await our_loop.subprocess_exec(Recorder, 'cat')
        process = transport.get_extra_info('subprocess')
        process.terminate()
        assert process.wait() == -signal.SIGTERM
        await finish(transport, protocol)
        assert transport.get_returncode() == -signal.SIGTERM

    our_loop.run_until_complete(main())


@pytest.mark.filterwarnings('ignore:unclosed:ResourceWarning')
@pytest.mark.parametrize('closed', [False, True])
def test_a_loop_that_closes_leaves_no_process(our_loop, by, closed):
    async def main():
        transport, _ = await our_loop.subprocess_exec(Recorder, 'cat')
        if closed:
            transport.close()
        return transport.get_pid()

    pid = our_loop.run_until_complete(main())
    our_loop.close()
    gc.collect()

    assert is_gone(pid)


@pytest.mark.filterwarnings('ignore:unclosed:ResourceWarning')
def test_a_transport_outlives_its_loop(our_loop, by):
    async def main():
        transport, _ = await our_loop.subprocess_exec(Recorder, 'cat')
        return transport

    transport = our_loop.run_until_complete(main())
    our_loop.close()

    assert transport.get_returncode() == -signal.SIGKILL
    assert not transport.is_closing()
    transport.close()
    with pytest.raises(ProcessLookupError):
        transport.kill()


@pytest.mark.filterwarnings('ignore:unclosed:ResourceWarning')
def test_a_closed_loop_kills_before_it_closes_pipes(our_loop, monkeypatch):
    """Else the process might end by itself, for want of input."""
    kill = processes.kill
    was_closed = []

    def note_and_kill(process):
        was_closed.append(process.stdin.closed)
        kill(process)

    monkeypatch.setattr(processes, 'kill', note_and_kill)
    transport, _ = our_loop.run_until_complete(
        our_loop.subprocess_exec(Recorder, 'cat')
    )
    our_loop.close()

    assert was_closed == [False]
    transport.close()


def test_an_unclosed_transport_says_so(our_loop):
    async def main():
        transport, protocol = await our_loop.subprocess_exec(Recorder, 'true')
        await protocol.lost.wait()

    with pytest.warns(ResourceWarning, match='unclosed transport <UVProcess'):
        our_loop.run_until_complete(main())
        gc.collect()


def test_a_transport_of_a_running_process_may_be_dropped(our_loop, by):
    """The loop holds it until the process ends."""

    async def main():
        transport, protocol = await our_loop.subprocess_exec(
            Recorder, 'sh', '-c', 'read x; exit 3'
        )
        into = transport.get_pipe_transport(0)
        del transport
        gc.collect()
        into.write(b'go\n')
        await protocol.lost.wait()
        assert protocol.transport.get_returncode() == 3
        protocol.transport.close()

    our_loop.run_until_complete(main())


def test_many_processes_leave_nothing(loop, run, by):
    async def use():
        process = await asyncio.create_subprocess_exec(
            *('cat',),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        out, _ = await process.communicate(b'data')
        assert out == b'data'

    async def main():
        for _ in range(5):
            await asyncio.gather(*(use() for _ in range(10)))

    run(main())


@pytest.mark.skipif(sys.platform != 'linux', reason='counts by /proc')
def test_a_loop_in_another_thread_runs_processes(our_loop):
    outs = []

    async def main():
        outs.append(await output('echo', 'data'))

    thread = threading.Thread(
        target=our_loop.run_until_complete, args=(main(),)
    )
    thread.start()
    thread.join()

    assert outs == [b'data\n']
