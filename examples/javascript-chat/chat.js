// A chat. World `application` of wit/ says what comes in and what goes out.

const names = new Map(); // connection -> name

/** Messages to send: `to` is a case of `recipients`. */
const send = (to, ...texts) => {
  let end = 0;
  const ends = texts.map((text) => (end += utf8Length(text)));
  return { tag: "send", val: { to, text: texts.join(""), ends } };
};
const all = { tag: "all" };
const one = (connection) => ({ tag: "one", val: connection });

const react = {
  connected({ connection }) {
    const name = `guest ${connection}`;
    names.set(connection, name);
    return [
      send(one(connection), `* You are ${name}. /nick NAME changes that.`),
      send({ tag: "all-but", val: connection }, `* ${name} has joined.`),
    ];
  },

  messages(batch) {
    return texts(batch).map((text) => {
      const name = names.get(batch.connection);
      if (!text.startsWith("/nick ")) return send(all, `${name}: ${text}`);
      const next = text.slice("/nick ".length).trim();
      if (next === "") return send(one(batch.connection), "* A name has to have a letter.");
      names.set(batch.connection, next);
      return send(all, `* ${name} is now ${next}.`);
    });
  },

  closed({ connection }) {
    const name = names.get(connection);
    // Refused ones and plain HTTP end, too.
    return names.delete(connection) ? [send(all, `* ${name} has left.`)] : [];
  },

  request({ connection }) {
    const body = utf8("A chat in JavaScript. Come by WebSocket.\n");
    const fields = [{ name: "Content-Type", value: utf8("text/plain; charset=utf-8") }];
    return [{ tag: "respond", val: { connection, status: 200, fields, body } }];
  },
};

export const handler = {
  handle: (events) => events.flatMap(({ tag, val }) => react[tag]?.(val) ?? []),
};

const utf8 = (text) => new TextEncoder().encode(text);
const utf8Length = (text) => utf8(text).length;

/** The messages of a batch: they stand one behind the other, and each ends at so many bytes. */
function texts({ text, ends }) {
  const bytes = utf8(text);
  let start = 0;
  return [...ends].map((end) => new TextDecoder().decode(bytes.subarray(start, (start = end))));
}
