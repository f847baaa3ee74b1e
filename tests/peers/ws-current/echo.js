// The echo of its README. It speaks RFC 6455 only: the yardstick of the load generator, not of the conformance suite.
'use strict';
const { WebSocketServer } = require('ws');

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
server.on('connection', (client) => {
  client.on('message', (message, isBinary) => client.send(message, { binary: isBinary }));
  client.on('error', (error) => console.error(String(error)));
});
server.on('listening', () => {
  console.log(`listening on ws://127.0.0.1:${server.address().port}/echo`);
});
process.stdin.on('end', () => process.exit()).resume();
