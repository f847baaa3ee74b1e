// Its README's server over TCP, as it stands there; since 0.8 it has the drafts only if asked.
'use strict';
const net = require('net');
const websocket = require('websocket-driver');

const server = net.createServer((connection) => {
  const driver = websocket.server({ allowDrafts: true });
  driver.on('connect', () => {
    if (websocket.isWebSocket(driver)) {
      driver.start();
    } else {
      connection.end('HTTP/1.1 426 Upgrade Required\r\nConnection: close\r\n\r\n');
    }
  });
  driver.on('close', () => connection.end());
  connection.on('error', () => {});
  connection.pipe(driver.io).pipe(connection);
  driver.messages.pipe(driver.messages);
});

server.listen(0, '127.0.0.1', () => {
  console.log(`listening on ws://127.0.0.1:${server.address().port}/echo`);
});
// It would end with the first exception that the library lets out, and a server that is down shows nothing.
process.on('uncaughtException', (error) => console.error(String(error)));
process.stdin.on('end', () => process.exit()).resume();
