// A chat: every message goes to everyone, and /nick NAME changes a name.
// World `application` of wit/ defines the events and commands.

import { all, allBut, one, respondText, send, texts } from "./legacy-websocket.js";

const names = new Map(); // connection -> name
let guests = 0; // so far; connection ids have gaps, since HTTP requests are connections, too

const react = {
  connected({ connection }) {
    const name = `guest ${++guests}`;
    names.set(connection, name);
    return [send(one(connection), `* you are ${name}`), send(allBut(connection), `* ${name} joined`)];
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

  request: (request) => [respondText(request, 200, "A chat in JavaScript: come by WebSocket.\n")],
};

export const handler = {
  handle: (events) => events.flatMap(({ tag, val }) => react[tag]?.(val) ?? []),
};
