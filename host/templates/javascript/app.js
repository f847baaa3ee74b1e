// Rooms to talk in: each path is one. The first line that a client sends is its name.
// World `application` of wit/ defines the events and commands.

import { one, path, respondHtml, Rooms, send, singleInstance, texts } from "./legacy-websocket.js";
import { page } from "./page.js";

const rooms = new Rooms();
const names = new Map(); // connection -> name

const react = {
  connected(client) {
    rooms.join(path(client), client.connection);
    names.set(client.connection, "");
    return [send(one(client.connection), "* What is your name?")];
  },

  messages(batch) {
    const lines = texts(batch).map((text) => text.trim());
    return lines.filter((line) => line !== "").map((line) => hear(batch.connection, line));
  },

  closed(closed) {
    const [room] = rooms.of(closed.connection);
    const name = names.get(closed.connection);
    rooms.remove(closed);
    names.delete(closed.connection);
    // Plain HTTP and refused connections are closed, too: they have none.
    return name ? [rooms.send(room, `* ${name} has left`)] : [];
  },

  request: (request) => [respondHtml(request, 200, page)],
};

function hear(connection, line) {
  const [room] = rooms.of(connection);
  const name = names.get(connection);
  if (name !== "") return rooms.send(room, `${name}: ${line}`);
  const chosen = Array.from(line).slice(0, 20).join("");
  names.set(connection, chosen);
  return rooms.send(room, `* ${chosen} is here`);
}

export const handler = {
  handle(events) {
    // The first call has no events. The clients of all cores share the rooms.
    if (events.length === 0) return [singleInstance];
    return events.flatMap(({ tag, val }) => react[tag]?.(val) ?? []);
  },
};
