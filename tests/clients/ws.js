// npm's ws as a client, driven by lines as tests/support/third_party.rs says: `ws.js LIBRARY VERSION URL [SUBPROTOCOL…]`.
'use strict';
const readline = require('readline');

const [library, version, url, ...subprotocols] = process.argv.slice(2);
const WebSocket = require(library);

const say = (...words) => console.log(words.join(' ').trimEnd());

// Version 0.4 has one subprotocol, as an option.
const options = { protocolVersion: Number(version), origin: 'http://example.com' };
const client = library.endsWith('ws-0.4')
  ? new WebSocket(url, { ...options, ...(subprotocols.length > 0 && { protocol: subprotocols[0] }) })
  : new WebSocket(url, subprotocols, options);

client.on('open', () => {
  say('open', client.protocol || '');
  readline.createInterface({ input: process.stdin }).on('line', follow);
});
// Version 0.4 gives flags.
client.on('message', (data, flags) => {
  const isBinary = typeof flags === 'object' ? Boolean(flags.binary) : flags;
  say(isBinary ? 'binary' : 'text', isBinary ? data.toString('hex') : String(data));
});
client.on('ping', () => say('ping'));
client.on('pong', (payload) => say('pong', String(payload)));
client.on('close', (code, reason) => {
  say('close', code, String(reason));
  process.exit();
});
client.on('unexpected-response', (request, response) => {
  say('refused', response.statusCode);
  process.exit();
});
client.on('error', (error) => say('error', error.message));

function follow(line) {
  const [command, ...words] = line.split(' ');
  const rest = words.join(' ');
  switch (command) {
    case 'text': return client.send(rest);
    case 'binary': return client.send(Buffer.from(rest, 'hex'), { binary: true });
    case 'fragments': return words.forEach((word, at) => client.send(word, { fin: at === words.length - 1 }));
    case 'ping': return client.ping(rest);
    case 'close': return client.close(Number(words[0]), words.slice(1).join(' '));
    default: throw new Error(`what is ${line}?`);
  }
}
