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
  const ends = texts.map((text) => (end += utf8(text).length));
  return { tag: "send", val: { to, text: texts.join(""), ends } };
}

/** Sends a binary message, which drafts 75 and 76 have not. */
export const sendBinary = (to, bytes) => ({ tag: "send-binary", val: { to, bytes } });

/** Closes a connection; without a code, with 1000. */
export const close = (connection, code, reason = "") => ({ tag: "close", val: { connection, code, reason } });

/** Accepts a handshake with the subprotocol that it asked for; `fields` has names and values of further fields. */
export const accept = ({ connection, subprotocol }, fields = {}) => ({
  tag: "accept",
  val: { connection, subprotocol, fields: fieldList(fields) },
});

/** Refuses a handshake with a status, 400 to 599, and a line of text. */
export const reject = ({ connection }, status, reason) => ({ tag: "reject", val: { connection, status, reason } });

/** Answers a request, or a handshake with something else than a 101. The body is text or bytes. */
export const respond = ({ connection }, status, fields, body = "") => ({
  tag: "respond",
  val: { connection, status, fields: fieldList(fields), body: typeof body === "string" ? utf8(body) : body },
});

export const respondText = (request, status, text) =>
  respond(request, status, { "Content-Type": "text/plain; charset=utf-8" }, text);

export const respondHtml = (request, status, page) =>
  respond(request, status, { "Content-Type": "text/html; charset=utf-8" }, page);

export const respondJson = (request, status, value) =>
  respond(request, status, { "Content-Type": "application/json" }, JSON.stringify(value));

/** 303: the client is to GET this location. */
export const redirect = (request, location) => respond(request, 303, { Location: location });

/** To be returned by the first call if all connections share the application's state. */
export const singleInstance = { tag: "single-instance" };

/** The messages of a batch: its text is their concatenation, and `ends` has the byte offset where each ends. */
export function texts({ text, ends }) {
  const bytes = utf8(text);
  let start = 0;
  return [...ends].map((end) => new TextDecoder().decode(bytes.subarray(start, (start = end))));
}

/** The path of a handshake, a connected client or a request, percent-decoded where it is UTF-8. */
export const path = ({ head }) => decode(splitTarget(head)[0]);

/** Its query. */
export const query = ({ head }) => new URLSearchParams(splitTarget(head)[1]);

/** The value of its first field with that name, in any case, or undefined. */
export const field = ({ head }, name) => fieldValues(head, name)[0];

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

/** Rooms: a connection is in any number of them. A room exists while somebody is in it. */
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
 * Timers, each with a name of your choice, over the one `tick`. The time is known only at a tick, so a timer that is set
 * in between asks for one at once, and counts from there. Every call of the application ends with `request()`.
 */
export class Timers {
  #timers = new Map(); // name -> { after, repeats, due }
  #now;
  #asked = false;

  /** Sets a timer that is due every so many milliseconds. */
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
    const after = Math.max(1, Math.floor(milliseconds));
    const due = this.#now === undefined ? undefined : this.#now + after;
    this.#timers.set(name, { after, repeats, due });
  }
}

const tick = (milliseconds) => ({ tag: "tick", val: BigInt(milliseconds) });

const utf8 = (text) => new TextEncoder().encode(text);

const fieldList = (fields) => Object.entries(fields).map(([name, value]) => ({ name, value: utf8(value) }));

const fieldValues = ({ fields }, name) =>
  fields
    .filter((field) => field.name.toLowerCase() === name.toLowerCase())
    .map(({ value }) => new TextDecoder().decode(value));

/** The path, and the query without its question mark. */
function splitTarget({ target }) {
  const text = new TextDecoder().decode(target);
  const at = text.indexOf("?");
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

function decode(path) {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
