"""redis-py's asyncio client on our loop, against Redis."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration import daemons

redis = pytest.importorskip('redis.asyncio')

from redis.asyncio.retry import Retry  # noqa: E402
from redis.backoff import NoBackoff  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def server():
    with daemons.redis() as server:
        yield server


@pytest.fixture(
    params=['redis://127.0.0.1:{port}', 'unix://{folder}/socket'],
    ids=['tcp', 'unix'],
)
def connected(request, run, server):
    """Runs test(client) in the loop, with up to ten connections."""
    url = request.param.format(port=server.port, folder=server.folder)

    async def main(test):
        pool = redis.BlockingConnectionPool.from_url(
            url, max_connections=10, retry=Retry(NoBackoff(), retries=1)
        )
        async with redis.Redis.from_pool(pool) as client:
            await client.flushall()
            await test(client)

    return lambda test: run(main(test))


@pytest.mark.parametrize('size', [0, 1, 20_000_000])
def test_a_value_comes_back_as_it_was_sent(connected, size):
    async def test(client):
        value = bytes(range(250)) * (size // 250) + b'x' * (size % 250)

        await client.set('key', value)

        assert await client.get('key') == value

    connected(test)


def test_an_error_of_the_server_is_an_exception(connected):
    async def test(client):
        await client.set('key', 'word')

        with pytest.raises(redis.RedisError, match='not an integer'):
            await client.incr('key')

        assert await client.get('key') == b'word'

    connected(test)


def test_a_pipeline_is_answered_in_order(connected):
    async def test(client):
        async with client.pipeline() as pipeline:
            for number in range(10_000):
                pipeline.set(f'key{number}', number)
                pipeline.get(f'key{number}')
            answers = await pipeline.execute()

        assert answers[1::2] == [b'%d' % number for number in range(10_000)]

    connected(test)


def test_many_clients_share_a_few_connections(connected):
    async def test(client):
        counts = await asyncio.gather(
            *(client.incr('count') for _ in range(1000))
        )

        assert sorted(counts) == list(range(1, 1001))
        assert int((await client.info('clients'))['connected_clients']) <= 10

    connected(test)


def test_a_subscriber_hears_every_message_in_order(connected):
    async def test(client):
        async with client.pubsub(ignore_subscribe_messages=True) as pubsub:
            await pubsub.subscribe('news')
            # Answered after the subscription, on the same connection.
            await pubsub.ping()
            while await pubsub.get_message(timeout=None) is None:
                pass

            await asyncio.gather(
                *(client.publish('news', number) for number in range(1000))
            )

            heard = [await anext(pubsub.listen()) for _ in range(1000)]
            assert {told['data'] for told in heard} == {
                b'%d' % number for number in range(1000)
            }

    connected(test)


def test_a_cancelled_wait_leaves_the_client_usable(connected):
    async def test(client):
        task = asyncio.ensure_future(client.blpop('list', timeout=0))
        while not (await client.info('clients'))['blocked_clients']:
            await asyncio.sleep(0)

        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        await client.rpush('list', 'word')
        assert await client.lpop('list') == b'word'

    connected(test)


def test_a_connection_that_the_server_ends_is_replaced(connected):
    async def test(client):
        first = await client.client_id()

        await client.client_kill_filter(_id=first, skipme=False)

        assert await client.client_id() != first

    connected(test)


def test_nobody_there_is_an_error(run, server):
    async def main():
        # 127.0.0.2: the port is free there.
        async with redis.Redis(
            host='127.0.0.2', port=server.port, retry=Retry(NoBackoff(), 0)
        ) as client:
            with pytest.raises(redis.ConnectionError):
                await client.ping()

    run(main(), transports=False)
