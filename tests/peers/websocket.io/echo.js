// What socket.io's authors made of its WebSocket part, attached to Node's server as its README says.
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
// It would end with the first exception that the library lets out, and a server that is down shows nothing.
process.on('uncaughtException', (error) => console.error(String(error)));
process.stdin.on('end', () => process.exit()).resume();
