"""asyncpg on our loop, against PostgreSQL."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration import daemons

asyncpg = pytest.importorskip('asyncpg')

pytestmark = pytest.mark.slow

ROWS = 50_000  # several MB: more than all buffers on the way hold


@pytest.fixture(scope='module')
def server(certificate):
    with daemons.postgres(certificate) as server:
        yield server


@pytest.fixture(params=['tcp', 'unix'])
def reach(request, server):
    """The arguments that reach it."""
    unix = request.param == 'unix'
    return {
        'host': str(server.folder) if unix else '127.0.0.1',
        'port': server.port,
        'user': 'test',
        'database': 'postgres',
        'ssl': False,
    }


@pytest.fixture
def connected(run, reach):
    """Runs test(connection) in the loop."""

    async def main(test):
        connection = await asyncpg.connect(**reach)
        try:
            await test(connection)
        finally:
            await connection.close()

    return lambda test: run(main(test))


@pytest.fixture
def pooled(run, reach):
    """Runs test(pool) in the loop, a pool of up to five connections."""

    async def main(test):
        async with asyncpg.create_pool(
            min_size=1, max_size=5, **reach
        ) as pool:
            await test(pool)

    return lambda test: run(main(test))


def test_values_come_back_as_they_were_sent(connected):
    async def test(connection):
        sent = [1, 'caf\u00e9', b'\0\xff' * 300_000, None, [1.5, 2.5]]

        row = await connection.fetchrow(
            'SELECT $1::int, $2::text, $3::bytea, $4::int, $5::float[]', *sent
        )

        assert list(row) == sent

    connected(test)


def test_an_error_of_the_server_is_an_exception(connected):
    async def test(connection):
        with pytest.raises(asyncpg.DivisionByZeroError):
            await connection.fetchval('SELECT 1 / 0')

        assert await connection.fetchval('SELECT 2') == 2

    connected(test)


def test_many_queries_share_a_few_connections(pooled):
    async def test(pool):
        query = 'SELECT $1::int, pg_backend_pid()'

        rows = await asyncio.gather(
            *(pool.fetchrow(query, number) for number in range(500))
        )

        assert [row[0] for row in rows] == list(range(500))
        assert 1 <= len({row[1] for row in rows}) <= 5

    pooled(test)


def test_a_cursor_reads_piece_by_piece(connected):
    async def test(connection):
        query = f'SELECT n FROM generate_series(1, {ROWS}) AS n'

        async with connection.transaction():
            numbers = [n async for (n,) in connection.cursor(query)]

        assert numbers == list(range(1, ROWS + 1))

    connected(test)


def test_copy_there_and_back(connected, tmp_path):
    async def test(connection):
        await connection.execute('CREATE TEMP TABLE t (n int, word text)')
        rows = [(n, 'x' * 100) for n in range(ROWS)]
        out = tmp_path / 'out'

        await connection.copy_records_to_table('t', records=rows)
        await connection.copy_from_table('t', output=out)

        lines = out.read_text().splitlines()
        assert sorted(lines) == sorted(f'{n}\t{word}' for n, word in rows)

    connected(test)


def test_a_notification_arrives(connected, reach):
    async def test(connection):
        heard = asyncio.get_running_loop().create_future()
        await connection.add_listener(
            'news', lambda *told: heard.set_result(told[3])
        )

        other = await asyncpg.connect(**reach)
        await other.execute("SELECT pg_notify('news', 'hello')")
        await other.close()

        assert await heard == 'hello'

    connected(test)


def test_a_cancelled_query_ends_on_the_server(pooled):
    async def test(pool):
        running = (
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'"
        )
        running += " AND query LIKE 'SELECT pg_sleep%'"
        task = asyncio.ensure_future(pool.execute('SELECT pg_sleep(600)'))
        while not await pool.fetchval(running):
            await asyncio.sleep(0)

        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert await pool.fetchval(running) == 0

    pooled(test)


def test_a_connection_that_the_server_ends_is_replaced(pooled):
    async def test(pool):
        async with pool.acquire() as connection:
            lost = connection.get_server_pid()
            with pytest.raises(
                (
                    asyncpg.AdminShutdownError,
                    asyncpg.ConnectionDoesNotExistError,
                )
            ):
                await connection.execute(
                    f'SELECT pg_terminate_backend({lost})'
                )

        assert await pool.fetchval('SELECT pg_backend_pid()') != lost

    pooled(test)


@pytest.mark.parametrize('reach', ['tcp'], indirect=True)
def test_tls_is_started_on_the_connection(run, reach, client_tls):
    async def main():
        connection = await asyncpg.connect(**{**reach, 'ssl': client_tls})
        query = 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()'

        assert await connection.fetchval(query) is True
        assert await connection.fetchval("SELECT repeat('x', 3000000)") == (
            'x' * 3_000_000
        )
        await connection.close()

    run(main())


def test_nobody_there_is_an_error(run, reach):
    # Other errors than these are not what asyncpg tries again.
    errors = ConnectionRefusedError, FileNotFoundError

    async def main():
        with pytest.raises(errors):
            # A port that nobody has (tcpmux), here or as a UNIX socket.
            await asyncpg.connect(**{**reach, 'port': 1})

    run(main(), transports=False)
