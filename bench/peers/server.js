'use strict';

/* Node.js: node server.js echo|http ENDPOINT, or
   node server.js echo-tls CERTIFICATE KEY ENDPOINT */

const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const tls = require('node:tls');

const BACKLOG = 1024;
const VALUES = Uint8Array.from({ length: 256 }, (_, i) => i);
const BLOCK = Buffer.alloc(1 << 20, VALUES);

function echo(socket) {
  socket.setNoDelay(true);
  socket.on('data', (data) => {
    socket.write(data);
  });
  socket.on('error', () => socket.destroy());
}

function answer(request, response) {
  const match = /^\/bytes\/(\d{1,7})(?:\?|$)/.exec(request.url);
  const size = match ? Number(match[1]) : -1;
  const found = size >= 0 && size <= BLOCK.length;
  response.sendDate = false;
  response.writeHead(found ? 200 : 404, {
    'Content-Type': 'application/octet-stream',
    'Content-Length': found ? size : 0,
  });
  response.end(BLOCK.subarray(0, found ? size : 0));
}

const [kind, ...rest] = process.argv.slice(2);
const endpoint = rest.pop();
const makers = {
  'echo': () => net.createServer(echo),
  'echo-tls': ([cert, key]) =>
    tls.createServer(
      { cert: fs.readFileSync(cert), key: fs.readFileSync(key) },
      echo,
    ),
  'http': () => http.createServer({ keepAliveTimeout: 0 }, answer),
};
const server = makers[kind](rest);

function tell() {
  const address = server.address();
  const where =
    typeof address === 'string' ? { path: address } : { port: address.port };
  console.log(
    JSON.stringify({
      ...where,
      version: process.versions.node,
      loop: `libuv ${process.versions.uv}`,
    }),
  );
}

if (endpoint === 'tcp') {
  server.listen({ host: '127.0.0.1', port: 0, backlog: BACKLOG }, tell);
} else {
  const path = endpoint.replace(/^unix:/, '');
  fs.rmSync(path, { force: true });
  server.listen({ path, backlog: BACKLOG }, tell);
}
