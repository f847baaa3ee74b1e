// The WebSocket server by socket.io's authors, attached to Node's HTTP server as in its README.
'use strict';
const http = require('http');
const wsio = require('websocket.io');

const server = http.createServer((request, response) => response.writeHead(426).end());
wsio.attach(server).on('connection', (client) => {
  client.on('message', (message) => client.send(message));
});
server.listen(0, '127.0.0.1', () => {
  console.log(`listening on ws://127.0.0.1:${server.address().port}/echo`);
});
// Otherwise the first exception that the library throws would end the server.
process.on('uncaughtException', (error) => console.error(String(error)));
process.stdin.on('end', () => process.exit()).resume();
