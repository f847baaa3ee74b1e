// What an application in JavaScript needs beyond world `application` of wit/: commands, heads as text, rooms, timers.
// Copy it beside your own file; legacy-websocket.d.ts has the types. Connections are of type bigint.

/** Recipients. */
export const all = { tag: "all" };
export const one = (connection) => ({ tag: "one", val: connection });
export const many = (connections) => ({ tag: "many", val: [...connections] });
export const allBut = (connection) => ({ tag: "all-but", val: connection });

/** Sends one text message or several, at least one, as one command. */
export function send(to, ...texts) {
  let end = 0;
  // Halves of surrogate pairs, of which UTF-8 has none, become U+FFFD, and do not join at the border of two texts.
  texts = texts.map((text) => String(text).toWellFormed());
  const ends = texts.map((text) => (end += utf8(text).length));
  return { tag: "send", val: { to, text: texts.join(""), ends } };
}

/** Sends a binary message, which drafts 75 and 76 do not have. */
export const sendBinary = (to, bytes) => ({ tag: "send-binary", val: { to, bytes } });

/** Closes a connection; without a code, with 1000. */
export const close = (connection, code, reason = "") => ({ tag: "close", val: { connection, code, reason } });

/**
 * Accepts a handshake with the subprotocol that it asked for. Fields, here and below, are `{ name: value }`, or a list
 * of `[name, value]` for several of one name, as Set-Cookie needs. A value with CR, LF or NUL, and a field of the
 * server's own (Connection, Content-Length, Sec-WebSocket-…) make the whole command `invalid`: the client then waits.
 */
export const accept = ({ connection, subprotocol }, fields = {}) => ({
  tag: "accept",
  val: { connection, subprotocol, fields: fieldList(fields) },
});

/** Refuses a handshake with a status, 400 to 599, and a line of text. */
export const reject = ({ connection }, status, reason) => ({ tag: "reject", val: { connection, status, reason } });

/** Answers a request, or a handshake with something other than a 101. The body is text or bytes. */
export const respond = ({ connection }, status, fields, body = "") => ({
  tag: "respond",
  val: { connection, status, fields: fieldList(fields), body: typeof body === "string" ? utf8(body) : body },
});

export const respondText = (request, status, text, fields = {}) =>
  respond(request, status, [["Content-Type", "text/plain; charset=utf-8"], ...pairs(fields)], text);

export const respondHtml = (request, status, page, fields = {}) =>
  respond(request, status, [["Content-Type", "text/html; charset=utf-8"], ...pairs(fields)], page);

/** Answers with a value as JSON. One that cannot be written as JSON, such as a bigint, is a 500 that says why. */
export function respondJson(request, status, value, fields = {}) {
  try {
    const json = JSON.stringify(value);
    if (json === undefined) throw new TypeError(`${typeof value} is not JSON`);
    return respond(request, status, [["Content-Type", "application/json"], ...pairs(fields)], json);
  } catch (error) {
    return respondText(request, 500, `${error}\n`);
  }
}

/**
 * 303: the client is to GET this location, a path or a URL. What no URL has (controls, spaces, backslashes, non-ASCII)
 * is percent-encoded; a `%` stays. Check one of the client's making: one that begins with `//` is on another host, also
 * if it is `path(request)`.
 */
export const redirect = (request, location, fields = {}) =>
  respond(request, 303, [["Location", encode(location)], ...pairs(fields)]);

/**
 * To be returned by the first call if all connections share the application's state: in `Rooms`, in `Timers`, or in
 * your own. Without it there is an instance on each core, with its own rooms, timers and connections.
 */
export const singleInstance = { tag: "single-instance" };

/** The messages of a batch: its text is their concatenation, and `ends` has the byte offset where each ends. */
export function texts({ text, ends: [...ends] }) {
  let bytes = utf8(text);
  // componentize-js decodes the whole text without a U+FEFF at its start.
  if (bytes.length + 3 === ends.at(-1)) bytes = utf8(`\ufeff${text}`);
  let start = 0;
  return ends.map((end) => decoder.decode(bytes.subarray(start, (start = end))));
}

/**
 * The path of a handshake, a connected client or a request, percent-decoded; U+FFFD for what is not UTF-8. `%2F`, `%3F`
 * and `%0D%0A` are decoded, too: a redirect to the same place starts from `head.target` instead.
 */
export const path = ({ head }) => percentDecode(splitTarget(head)[0]);

/** Its query. */
export const query = ({ head }) =>
  // URLSearchParams leaves out a question mark at the start: this one.
  new URLSearchParams(`?${decoder.decode(splitTarget(head)[1])}`);

/** The value of its first field with that name, in any case, or undefined. */
export const field = ({ head }, name) => fieldValues(head, name)[0];

/**
 * Where its page is from, if the client is a browser: `Origin`, or `Sec-WebSocket-Origin` in versions 7 and 8 of hybi,
 * where libraries send `Origin` as well.
 */
export function origin(event) {
  const isHybi = ["7", "8"].includes(field(event, "Sec-WebSocket-Version")?.trim());
  return (isHybi ? field(event, "Sec-WebSocket-Origin") : undefined) ?? field(event, "Origin");
}

/** Its cookies, as they were sent: a Map in which the first of a name counts. */
export function cookies({ head }) {
  const pairs = fieldValues(head, "Cookie").join(";").split(";");
  const found = new Map();
  for (const pair of pairs) {
    const at = pair.indexOf("=");
    const name = pair.slice(0, at).trim();
    if (at >= 0 && !found.has(name)) found.set(name, pair.slice(at + 1).trim());
  }
  return found;
}

/**
 * Rooms: a connection is in any number of them, from `connected` to `closed`. A room exists while somebody is in it.
 * They are one instance's: return `singleInstance` from the first call.
 */
export class Rooms {
  #members = new Map(); // room -> connections

  join(room, connection) {
    if (!this.#members.has(room)) this.#members.set(room, new Set());
    this.#members.get(room).add(connection);
  }

  leave(room, connection) {
    const members = this.#members.get(room);
    members?.delete(connection);
    if (members?.size === 0) this.#members.delete(room);
  }

  /** A connection that has ended leaves all of its rooms: to be told of every `closed`. */
  remove({ connection }) {
    for (const room of this.of(connection)) this.leave(room, connection);
  }

  /** Texts to everyone in a room, as one command. */
  send(room, ...texts) {
    return send(many(this.members(room)), ...texts);
  }

  members(room) {
    return [...(this.#members.get(room) ?? [])];
  }

  /** The rooms that a connection is in. */
  of(connection) {
    return [...this.#members].filter(([, members]) => members.has(connection)).map(([room]) => room);
  }
}

/**
 * Timers, each with a name of your choice, over the one `tick`. The time is that of the ticks, so a timer that is set
 * between two asks for one at once, and counts from there. Every call of the application ends with `request()`, also
 * one that returns early. They are one instance's: return `singleInstance` from the first call.
 */
export class Timers {
  #timers = new Map(); // name -> { after, repeats, due }
  #now;
  #asked = false;

  /** Sets a timer that is due every so many milliseconds, whole ones, and at least one. */
  every(name, milliseconds) {
    this.#set(name, milliseconds, true);
  }

  /** Sets a timer that is due once. */
  once(name, milliseconds) {
    this.#set(name, milliseconds, false);
  }

  cancel(name) {
    return this.#timers.delete(name);
  }

  /** The names of the timers that are due at a tick, the earliest first. */
  due(tick) {
    const now = (this.#now = Number(tick));
    this.#asked = false;
    const due = [];
    for (const [name, timer] of this.#timers) {
      const at = (timer.due ??= now + timer.after);
      if (at > now) continue;
      due.push({ at, name });
      // It keeps its rhythm, however late the tick is.
      timer.due = at + timer.after * (Math.floor((now - at) / timer.after) + 1);
      if (!timer.repeats) this.#timers.delete(name);
    }
    return due.sort((one, other) => one.at - other.at).map(({ name }) => name);
  }

  /** The commands that the timers need: a list of one `tick`, or of none. */
  request() {
    const now = this.#now;
    this.#now = undefined;
    const times = [...this.#timers.values()].map(({ due }) => due);
    if (now !== undefined) return times.length ? [tick(Math.min(...times) - now)] : [];
    if (this.#asked || !times.includes(undefined)) return [];
    this.#asked = true;
    return [tick(0)];
  }

  #set(name, milliseconds, repeats) {
    const after = Math.min(Math.max(1, Math.floor(milliseconds)) || 1, Number.MAX_SAFE_INTEGER);
    const due = this.#now === undefined ? undefined : this.#now + after;
    this.#timers.set(name, { after, repeats, due });
  }
}

const tick = (milliseconds) => ({ tag: "tick", val: BigInt(milliseconds) });

// U+FEFF at the start is a part of the text.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

const utf8 = (text) => new TextEncoder().encode(text);

const pairs = (fields) => (Symbol.iterator in fields ? [...fields] : Object.entries(fields));

const fieldList = (fields) => pairs(fields).map(([name, value]) => ({ name, value: utf8(value) }));

const fieldValues = ({ fields }, name) =>
  fields
    .filter((field) => field.name.toLowerCase() === name.toLowerCase())
    .map(({ value }) => decoder.decode(value));

/** The path, and the query without its question mark, as bytes. */
function splitTarget({ target }) {
  const at = target.indexOf(0x3f);
  return at < 0 ? [target, target.subarray(0, 0)] : [target.subarray(0, at), target.subarray(at + 1)];
}

function percentDecode(bytes) {
  // A character for each byte.
  const text = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  const decoded = text.replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  return decoder.decode(Uint8Array.from(decoded, (character) => character.charCodeAt(0)));
}

const encode = (location) =>
  // Browsers take a backslash for a slash.
  location.toWellFormed().replace(/[^\x21-\x7e]+|\\/g, (characters) => encodeURIComponent(characters));
