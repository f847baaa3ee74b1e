// A backend on npm's ws: `ws_backend.js MODULES PAGE`, where PAGE is the file it serves. It echoes, but a few words are
// questions and orders: `cookies?`, `extensions?`, `close CODE REASON`. Compression is on, as many have it.
'use strict';
const fs = require('fs');
const http = require('http');
const path = require('path');

const [modules, page] = process.argv.slice(2);
const { WebSocketServer } = require(path.join(modules, 'ws'));

const server = http.createServer((request, response) => {
  response.setHeader('Set-Cookie', 'page=seen; Path=/');
  response.setHeader('Content-Type', 'text/html; charset=utf-8');
  response.end(fs.readFileSync(page));
});
const sockets = new WebSocketServer({ server, perMessageDeflate: true });
sockets.on('headers', (headers) => headers.push('Set-Cookie: socket=opened; Path=/'));
sockets.on('connection', (client, request) => {
  client.on('error', (error) => console.error(String(error)));
  client.on('message', (message, isBinary) => {
    const [word, code, ...reason] = isBinary ? [] : String(message).split(' ');
    if (word === 'cookies?') {
      client.send(`cookies: ${request.headers.cookie || ''}`);
    } else if (word === 'extensions?') {
      client.send(`extensions: ${client.extensions}`);
    } else if (word === 'close') {
      client.close(Number(code), reason.join(' '));
    } else {
      client.send(message, { binary: isBinary });
    }
  });
  client.on('close', (code, reason) => console.log(`closed ${code} ${reason}`.trimEnd()));
});
server.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}/`));
process.stdin.on('end', () => process.exit()).resume();
