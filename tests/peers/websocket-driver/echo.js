// The TCP server of its README; since 0.8 the drafts have to be enabled.
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
// Otherwise the first exception that the library throws would end the server.
process.on('uncaughtException', (error) => console.error(String(error)));
process.stdin.on('end', () => process.exit()).resume();
