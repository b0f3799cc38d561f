import asyncio

import uvloop_core
from httptools import HttpRequestParser

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, world\n'


class Hello(asyncio.Protocol):
    def connection_made(self, transport):
        self.on_message_complete = lambda: transport.write(ANSWER)
        self.data_received = HttpRequestParser(self).feed_data


async def main():
    loop = asyncio.get_running_loop()
    await (await loop.create_server(Hello, '127.0.0.1', 8000)).serve_forever()


uvloop_core.run(main())  # http://127.0.0.1:8000/
