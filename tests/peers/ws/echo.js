// The echo of its README. The last minor version with draft 76; it never supported draft 75.
'use strict';
const Server = require('ws').Server;

const server = new Server({ host: '127.0.0.1', port: 0 });
server.on('connection', (client) => {
  client.on('message', (message) => client.send(message));
  client.on('error', (error) => console.error(String(error)));
});
server.on('listening', () => {
  console.log(`listening on ws://127.0.0.1:${server._server.address().port}/echo`);
});
// Otherwise the first exception that the library throws would end the server.
process.on('uncaughtException', (error) => console.error(String(error)));
process.stdin.on('end', () => process.exit()).resume();
