// A chat: every message goes to everyone, and /nick NAME changes a name.
// World `application` of wit/ defines the events and commands.

const names = new Map(); // connection -> name
let guests = 0; // so far; connection ids have gaps, since HTTP requests are connections, too

/** A message to send: `to` is a case of `recipients`. */
const send = (to, text) => ({ tag: "send", val: { to, text, ends: [utf8(text).length] } });
const all = { tag: "all" };
const one = (connection) => ({ tag: "one", val: connection });

const react = {
  connected({ connection }) {
    const name = `guest ${++guests}`;
    names.set(connection, name);
    return [
      send(one(connection), `* you are ${name}`),
      send({ tag: "all-but", val: connection }, `* ${name} joined`),
    ];
  },

  messages(batch) {
    return texts(batch).map((text) => {
      const name = names.get(batch.connection);
      if (!text.startsWith("/nick ")) return send(all, `${name}: ${text}`);
      const next = text.slice("/nick ".length).trim();
      if (next === "" || next.length > 20) return send(one(batch.connection), "* a name has 1 to 20 characters");
      names.set(batch.connection, next);
      return send(all, `* ${name} is now ${next}`);
    });
  },

  closed({ connection }) {
    const name = names.get(connection);
    // Plain HTTP and refused connections are closed, too.
    return names.delete(connection) ? [send(all, `* ${name} left`)] : [];
  },

  request({ connection }) {
    const body = utf8("A chat in JavaScript: come by WebSocket.\n");
    const fields = [{ name: "Content-Type", value: utf8("text/plain; charset=utf-8") }];
    return [{ tag: "respond", val: { connection, status: 200, fields, body } }];
  },
};

export const handler = {
  handle: (events) => events.flatMap(({ tag, val }) => react[tag]?.(val) ?? []),
};

const utf8 = (text) => new TextEncoder().encode(text);

/** The messages of a batch: its text is their concatenation, and `ends` has the byte offset where each ends. */
function texts({ text, ends }) {
  const bytes = utf8(text);
  let start = 0;
  return [...ends].map((end) => new TextDecoder().decode(bytes.subarray(start, (start = end))));
}
