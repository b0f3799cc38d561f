"""What is dropped is collected, and nothing grows."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import warnings
import weakref

import pytest

import uvloop_core


class Thing:
    """Can be referenced weakly, and hold anything."""

    def method(self, *args):
        pass


def run_turns(loop, count: int = 1) -> None:
    for _ in range(count):
        loop.stop()
        loop.run_forever()


def new_loop(debug: bool = False) -> uvloop_core.Loop:
    loop = uvloop_core.new_event_loop()
    loop.set_debug(debug)
    return loop


# Cycles through a loop. Each makes one that `thing` is part of.


def by_attribute(loop, thing):
    loop.thing = thing


def by_call_soon(loop, thing):
    loop.call_soon(thing.method, 1)


def by_call_soon_arguments(loop, thing):
    loop.call_soon(print, 1, thing)


def by_call_soon_threadsafe(loop, thing):
    loop.call_soon_threadsafe(thing.method)


def by_call_later(loop, thing):
    loop.call_later(60, thing.method)


def by_a_held_handle(loop, thing):
    thing.handle = loop.call_soon(thing.method)


def by_a_held_timer(loop, thing):
    thing.handle = loop.call_later(60, print, thing)


def by_a_held_threadsafe_handle(loop, thing):
    thing.handle = loop.call_soon_threadsafe(print, thing)


def by_a_handle_that_has_run(loop, thing):
    thing.handle = loop.call_soon(thing.method)
    thing.context = thing.handle.get_context()
    run_turns(loop)


def by_a_cancelled_handle(loop, thing):
    thing.handles = [
        loop.call_soon(thing.method),
        loop.call_later(60, thing.method),
        loop.call_later(61, thing.method),
    ]
    for handle in thing.handles:
        handle.cancel()


def by_scheduling_while_it_runs(loop, thing):
    def callback():
        thing.handles = [
            loop.call_soon(thing.method),
            loop.call_later(60, thing.method),
            loop.call_soon_threadsafe(thing.method),
        ]

    loop.call_soon(callback)
    run_turns(loop)


def by_a_timer_made_among_many(loop, thing):
    """While it runs, and beside more than it looks at as it stops."""

    def callback():
        for _ in range(20_001):
            loop.call_later(60, int)
        thing.handle = loop.call_later(60, thing.method)

    loop.call_soon(callback)
    run_turns(loop)


def by_another_threads_call_at_the_end(loop, thing):
    """It comes when the loop looks no more."""

    def callback():
        loop.stop()
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()

    def call():
        thing.handle = loop.call_soon_threadsafe(thing.method)

    loop.call_soon(callback)
    loop.run_forever()


def by_a_closure(loop, thing):
    def callback():
        return loop, thing, callback

    loop.call_soon(callback)
    loop.call_later(60, callback)


def by_a_reader(loop, thing):
    thing.pipe = Pipe()
    thing.handle = loop._add_reader(thing.pipe.reader, thing.method)
    loop.add_writer(thing.pipe.writer, thing.method, thing)


def by_a_reader_that_has_run(loop, thing):
    thing.pipe = Pipe()
    loop.add_writer(thing.pipe.writer, thing.method)
    run_turns(loop, 3)


def by_a_signal_handler(loop, thing):
    loop.add_signal_handler(signal.SIGUSR1, thing.method)


def by_a_task(loop, thing):
    async def wait():
        thing.task = asyncio.current_task()
        await asyncio.Event().wait()

    task = loop.create_task(wait())
    task._log_destroy_pending = False
    run_turns(loop)


def by_a_future(loop, thing):
    thing.future = loop.create_future()
    thing.future.add_done_callback(thing.method)
    thing.future.set_result(thing)


def by_the_exception_handler(loop, thing):
    loop.set_exception_handler(thing.method)


def by_the_task_factory(loop, thing):
    loop.set_task_factory(thing.method)


def by_the_context(loop, thing):
    variable = contextvars.ContextVar('variable')
    context = contextvars.copy_context()
    context.run(variable.set, thing)
    thing.handle = loop.call_later(60, print, context=context)


class Protocol(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport


def connected(loop, thing):
    """Two protocols that know the loop, connected to each other."""

    async def connect():
        server = await loop.create_server(make, '127.0.0.1', 0)
        address = server.sockets[0].getsockname()
        await loop.create_connection(make, *address)
        while len(made) < 2 or not all(
            hasattr(protocol, 'transport') for protocol in made
        ):
            await asyncio.sleep(0)
        return server

    def make():
        protocol = Protocol()
        protocol.loop = loop
        protocol.thing = thing
        made.append(protocol)
        return protocol

    made = []
    thing.server = loop.run_until_complete(connect())
    thing.protocols = made
    return made


def by_a_server(loop, thing):
    async def serve():
        thing.server = await loop.create_server(thing.method, '127.0.0.1', 0)

    loop.run_until_complete(serve())


def by_transports(loop, thing):
    connected(loop, thing)


def by_closed_transports(loop, thing):
    for protocol in connected(loop, thing):
        protocol.transport.close()
    run_turns(loop, 3)


def by_transports_with_buffers(loop, thing):
    one, two = connected(loop, thing)
    two.transport.pause_reading()
    one.transport.write(bytes(10_000_000))
    one.transport.write(bytearray(10))


def by_a_paused_transport(loop, thing):
    for protocol in connected(loop, thing):
        protocol.transport.pause_reading()


class DatagramProtocol(Protocol, asyncio.DatagramProtocol):
    pass


def by_a_datagram_transport(loop, thing):
    def make():
        thing.protocol = DatagramProtocol()
        thing.protocol.thing = thing
        return thing.protocol

    loop.run_until_complete(
        loop.create_datagram_endpoint(make, ('127.0.0.1', 0))
    )
    return thing.protocol.transport


def by_a_paused_datagram_transport(loop, thing):
    transport = by_a_datagram_transport(loop, thing)

    def pause(data, addr):
        transport.pause_reading()

    thing.protocol.datagram_received = pause
    for _ in range(3):
        transport.sendto(b'spam', transport.get_extra_info('sockname'))
    run_turns(loop, 3)


def by_a_monitored_file(loop, thing):
    thing.handle = loop._monitor_fs('.', thing.method)


def by_a_sendfile_in_progress(loop, thing):
    one, two = connected(loop, thing)
    thing.future = loop.create_future()
    one.transport._hold(None, thing.future)


def piped(loop, thing):
    """Both ends of a pipe, with protocols that know the loop."""

    def make():
        protocol = Protocol()
        protocol.loop = loop
        protocol.thing = thing
        return protocol

    async def connect():
        reader, writer = os.pipe()
        one, _ = await loop.connect_read_pipe(make, io.FileIO(reader, 'rb'))
        two, _ = await loop.connect_write_pipe(make, io.FileIO(writer, 'wb'))
        return one, two

    thing.transports = loop.run_until_complete(connect())
    return thing.transports


def by_unix_sockets(loop, thing):
    async def connect():
        thing.ends = socket.socketpair()
        for end in thing.ends:
            _, protocol = await loop.create_unix_connection(Protocol, sock=end)
            protocol.loop = loop
            protocol.thing = thing
        protocol.transport.write(bytes(10_000_000))

    loop.run_until_complete(connect())


def by_pipes(loop, thing):
    piped(loop, thing)


def by_closed_pipes(loop, thing):
    for transport in piped(loop, thing):
        transport.close()
    run_turns(loop, 3)


def by_pipes_with_buffers(loop, thing):
    reader, writer = piped(loop, thing)
    reader.pause_reading()
    writer.write(bytes(10_000_000))


class ProcessProtocol(asyncio.SubprocessProtocol):
    pass


def started(loop, thing):
    async def start():
        protocol = ProcessProtocol()
        protocol.loop = loop
        protocol.thing = thing
        thing.process, _ = await loop.subprocess_exec(lambda: protocol, 'cat')

    loop.run_until_complete(start())


def by_a_process(loop, thing):
    started(loop, thing)


def by_a_closed_process(loop, thing):
    started(loop, thing)
    thing.process.get_pipe_transport(0).close()
    loop.run_until_complete(thing.process._wait())
    run_turns(loop, 3)
    # Not before: the log of a process that is killed would keep it.
    thing.process.close()


CYCLES = [value for name, value in globals().items() if name.startswith('by_')]


class Pipe:
    def __init__(self):
        self.reader, self.writer = os.pipe()

    def __del__(self):
        os.close(self.reader)
        os.close(self.writer)


@pytest.mark.parametrize('debug', [False, True], ids=['', 'debug'])
@pytest.mark.parametrize('cycle', CYCLES)
def test_a_loop_dropped_without_close_is_collected(cycle, debug):
    loop, thing = new_loop(debug), Thing()
    thing.loop = loop
    refs = [weakref.ref(loop), weakref.ref(thing)]
    cycle(loop, thing)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        del loop, thing
        gc.collect()
    messages = [str(warning.message) for warning in caught]
    # They hold what they warn of.
    caught.clear()
    gc.collect()

    assert [ref() for ref in refs] == [None, None]
    assert any('unclosed event loop <Loop' in text for text in messages)


@pytest.mark.parametrize('debug', [False, True], ids=['', 'debug'])
@pytest.mark.parametrize('cycle', CYCLES)
def test_a_closed_loop_is_collected(cycle, debug):
    loop, thing = new_loop(debug), Thing()
    thing.loop = loop
    refs = [weakref.ref(loop), weakref.ref(thing)]
    cycle(loop, thing)
    with warnings.catch_warnings():
        # Of transports that are open.
        warnings.simplefilter('ignore', ResourceWarning)
        loop.close()

        del loop, thing
        gc.collect()

    assert [ref() for ref in refs] == [None, None]


def test_a_loop_that_made_futures_goes_without_the_collector():
    loop = new_loop()
    ref = weakref.ref(loop)
    loop.create_future()
    loop.call_soon(loop.create_future)
    run_turns(loop, 2)
    loop.close()

    gc.disable()
    try:
        del loop
        assert ref() is None
    finally:
        gc.enable()


@pytest.mark.parametrize('cycle', CYCLES)
def test_a_closed_loop_keeps_nothing_of_what_it_was_given(cycle):
    loop, thing = new_loop(), Thing()
    ref = weakref.ref(thing)
    cycle(loop, thing)
    loop.set_exception_handler(None)
    loop.set_task_factory(None)
    loop.__dict__.pop('thing', None)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', ResourceWarning)
        loop.close()
        del thing
        gc.collect()

    assert ref() is None
    assert loop._handles_opened == loop._handles_closed
    assert loop._requests == 0


# The warning


def test_a_loop_dropped_without_close_says_so():
    loop = new_loop()
    with pytest.warns(ResourceWarning, match=r'^unclosed event loop <Loop'):
        del loop
        gc.collect()


def test_a_closed_loop_says_nothing():
    loop = new_loop()
    loop.close()

    with warnings.catch_warnings():
        warnings.simplefilter('error')
        del loop
        gc.collect()


def test_a_warning_may_keep_the_loop():
    """It comes back to life, closed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        loop = new_loop()
        loop.call_soon(print, 1)
        del loop
        gc.collect()

    loop = caught[0].source
    assert loop.is_closed()
    with pytest.raises(RuntimeError, match='Event loop is closed'):
        loop.run_forever()


def test_dropping_a_loop_calls_no_user_code():
    calls = []

    class Recorder(Protocol):
        def connection_lost(self, error):
            calls.append(error)

    async def connect():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Recorder, '127.0.0.1', 0)
        await loop.create_connection(
            Recorder, *server.sockets[0].getsockname()
        )

    loop = new_loop()
    loop.run_until_complete(connect())
    loop.call_soon(calls.append, 'soon')
    loop.call_later(0, calls.append, 'later')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        del loop
        gc.collect()

    assert calls == []


def test_what_a_closing_loop_drops_may_call_it(our_loop):
    answers = []

    class Evil:
        def __del__(self):
            our_loop.close()
            try:
                our_loop.call_soon(print)
            except RuntimeError as error:
                answers.append(str(error))
            assert our_loop.remove_reader(0) is False

    our_loop.set_debug(False)
    our_loop.call_soon(print, Evil())
    our_loop.call_later(60, print, Evil())
    our_loop.call_soon_threadsafe(print, Evil())
    our_loop.close()
    gc.collect()

    assert answers == ['Event loop is closed'] * 3


def test_core_close_is_safe_inside_of_itself(our_loop):
    class Evil:
        def __del__(self):
            our_loop._close()

    our_loop.set_debug(False)
    our_loop.call_soon(print, Evil())
    our_loop._close()

    assert our_loop.is_closed()
    our_loop._close_signals()


EXIT = """
import sys
import asyncio, uvloop_core
{code}
"""

EXITS = {
    'dropped': (
        'loop = uvloop_core.new_event_loop()\nloop.call_later(9, print)'
    ),
    'cycle': (
        'loop = uvloop_core.new_event_loop()\nloop.loop = loop\n'
        'loop.call_soon(loop.run_forever)\ndel loop'
    ),
    'set': 'asyncio.set_event_loop(uvloop_core.new_event_loop())',
    'ran': (
        'loop = uvloop_core.new_event_loop()\n'
        'loop.run_until_complete(asyncio.sleep(0.01))'
    ),
    'debug': (
        'loop = uvloop_core.new_event_loop()\nloop.set_debug(True)\n'
        'loop.run_until_complete(asyncio.sleep(0.01))'
    ),
    'exits inside': (
        'loop = uvloop_core.new_event_loop()\n'
        'loop.call_soon(sys.exit)\nloop.run_forever()'
    ),
    'handles': (
        'loop = uvloop_core.new_event_loop()\n'
        'handles = [loop.call_soon(print), loop.call_later(9, print)]\n'
        'sys.handles = handles'
    ),
}


@pytest.mark.parametrize('code', EXITS)
def test_an_unclosed_loop_is_silent_at_the_interpreters_end(code):
    done = subprocess.run(
        [sys.executable, '-c', EXIT.format(code=EXITS[code])],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')


# The collector while the loop runs


def test_the_collector_inside_of_callbacks(our_loop):
    """Everything that the loop holds stays, whatever is collected."""
    calls = []

    def callback(thing, number):
        gc.collect()
        assert isinstance(thing, Thing)
        calls.append(number)
        if number < 20:
            our_loop.call_soon(callback, Thing(), number + 1)
            our_loop.call_later(0, int)
            our_loop.call_soon_threadsafe(int)

    our_loop.call_soon(callback, Thing(), 0)
    our_loop.call_later(60, callback, Thing(), 99)
    run_turns(our_loop, 30)

    assert calls == list(range(21))


def test_the_collector_in_other_threads(our_loop):
    stop = threading.Event()

    def collect():
        while not stop.is_set():
            gc.collect()

    async def main():
        thread = threading.Thread(target=collect)
        thread.start()
        things = []
        for _ in range(200):
            things.append(our_loop.call_later(60, Thing().method))
            await asyncio.sleep(0.0001)
        stop.set()
        await our_loop.run_in_executor(None, thread.join)
        assert all(handle._callback is not None for handle in things)
        for handle in things:
            handle.cancel()

    our_loop.run_until_complete(main())


def test_the_collector_at_any_allocation(our_loop):
    thresholds = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(50):
            our_loop.call_soon(Thing().method, Thing())
            our_loop.call_later(0, Thing().method, Thing()).cancel()
            our_loop.call_later(0, Thing().method)
        run_turns(our_loop, 3)
    finally:
        gc.set_threshold(*thresholds)


def test_handles_of_a_running_loop_are_collected_later(our_loop):
    """A cycle of a handle that has run is collected in the same run."""
    refs = []

    async def main():
        for _ in range(10):
            thing = Thing()
            thing.handle = our_loop.call_soon(thing.method)
            thing.context = thing.handle.get_context()
            refs.append(weakref.ref(thing))
            del thing
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        gc.collect()
        assert [ref() for ref in refs] == [None] * 10

    our_loop.run_until_complete(main())


# Nothing grows


def resident() -> int:
    """Kilobytes of memory that this process has."""
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGESIZE') // 1024


def use_loop(number: int) -> None:
    """Make, run and drop a loop; every other one without closing it."""
    loop = uvloop_core.new_event_loop()
    loop.set_debug(False)
    loop.loop = loop
    loop.call_soon(int)
    handle = loop.call_later(60, loop.run_forever)
    loop.call_soon_threadsafe(loop.stop)
    loop.run_forever()
    handle.cancel()
    loop.call_soon(loop.stop)
    if number % 2:
        loop.close()


def check_growth(action, times: int, warm_up: int, allowed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', ResourceWarning)
        for number in range(warm_up):
            action(number)
        gc.collect()
        files = len(os.listdir('/proc/self/fd'))
        before = resident()
        for number in range(times):
            action(number)
            if number % 50 == 0:
                gc.collect()
        gc.collect()

    assert len(os.listdir('/proc/self/fd')) == files
    # A sanitizer keeps what was freed, to see who uses it still.
    if os.environ.get('PROFILE') not in ('asan', 'tsan'):
        assert resident() - before < allowed


def test_loops_made_run_and_dropped_leave_nothing():
    check_growth(use_loop, times=1000, warm_up=300, allowed=2000)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ten_thousand_loops_leave_nothing():
    check_growth(use_loop, times=10_000, warm_up=500, allowed=2000)


def test_callbacks_leave_nothing(our_loop):
    our_loop.set_debug(False)

    def use(_):
        for _ in range(200):
            our_loop.call_soon(Thing().method, 1, 2)
            our_loop.call_later(0, Thing().method, 1)
            our_loop.call_later(60, Thing().method, 1).cancel()
            our_loop.call_soon_threadsafe(Thing().method)
        run_turns(our_loop)

    check_growth(use, times=100, warm_up=50, allowed=1000)


def test_readers_leave_nothing(our_loop):
    our_loop.set_debug(False)
    reader, writer = os.pipe()

    def use(_):
        for _ in range(100):
            our_loop.add_reader(reader, Thing().method, 1)
            our_loop.add_writer(writer, Thing().method, 1)
            our_loop.remove_reader(reader)
            our_loop.remove_writer(writer)
        run_turns(our_loop)

    check_growth(use, times=100, warm_up=50, allowed=1000)
    os.close(reader)
    os.close(writer)


def test_failing_callbacks_leave_nothing(our_loop, reports):
    def fail(thing):
        raise ZeroDivisionError

    def use(_):
        for _ in range(50):
            our_loop.call_soon(fail, Thing())
        run_turns(our_loop)
        reports.clear()

    check_growth(use, times=100, warm_up=50, allowed=1000)


# Races


class Peer(asyncio.Protocol):
    """The server's side: each ends its connection in another way."""

    made = 0

    def connection_made(self, transport):
        Peer.made += 1
        ways = (transport.abort, transport.close, transport.write_eof, bool)
        ways[Peer.made % 4]()


async def race(loop, start, number: int) -> None:
    """Cancel what starts, or end it, after so many turns."""
    task = loop.create_task(start())
    for _ in range(number % 7):
        await asyncio.sleep(0)
    if number % 3:
        task.cancel()
    try:
        transport, _ = await task
    except (asyncio.CancelledError, ConnectionError):
        return
    ways = (transport.close, getattr(transport, 'abort', transport.close))
    ways[number % 2]()


def check_races(loop, start, times: int) -> None:
    before = loop._handles_opened - loop._handles_closed

    def use(number):
        loop.run_until_complete(race(loop, start, number))
        # The first accepts what was cancelled once the kernel had connected.
        run_turns(loop, 2)
        while (
            loop._handles_opened - loop._handles_closed > before
            or loop._children
        ):
            run_turns(loop)

    loop.set_debug(False)
    check_growth(use, times, warm_up=times // 2, allowed=1000)
    assert loop._handles_opened > before
    assert loop._requests == 0


@pytest.fixture(params=['tcp', 'unix'])
def connect(request, our_loop, tmp_path):
    """A function that begins a connection to a server of Peers."""
    path = str(tmp_path / 'socket')
    if request.param == 'unix':
        make = our_loop.create_unix_server(Peer, path)
    else:
        make = our_loop.create_server(Peer, '127.0.0.1', 0)
    server = our_loop.run_until_complete(make)
    address = server.sockets[0].getsockname()
    if request.param == 'unix':
        yield lambda: our_loop.create_unix_connection(asyncio.Protocol, path)
    else:
        yield lambda: our_loop.create_connection(asyncio.Protocol, *address)
    server.close()
    our_loop.run_until_complete(server.wait_closed())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_thousand_races_of_connect_with_cancel_and_close(our_loop, connect):
    check_races(our_loop, connect, times=1000)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_hundred_races_of_spawn_with_cancel_and_kill(our_loop):
    def start():
        return our_loop.subprocess_exec(asyncio.SubprocessProtocol, 'cat')

    check_races(our_loop, start, times=100)
