// `npm test`: in Node, without building a component.

import assert from "node:assert/strict";
import { test } from "node:test";

import { handler } from "./app.js";
import { many, one, respondHtml, send, singleInstance } from "./legacy-websocket.js";
import { page } from "./page.js";

const bytes = (text) => new TextEncoder().encode(text);
const connected = (connection, path) => ({
  tag: "connected",
  val: { connection, head: { method: "GET", target: bytes(path), fields: [] } },
});
const says = (connection, text) => ({
  tag: "messages",
  val: { connection, text, ends: Uint32Array.of(bytes(text).length) },
});
const closed = (connection) => ({ tag: "closed", val: { connection } });

test("the rooms are those of all clients", () => {
  assert.deepEqual(handler.handle([]), [singleInstance]);
});

test("those in a room hear each other", () => {
  const events = [connected(1n, "/tea"), connected(2n, "/tea"), says(1n, "Anna"), says(2n, " "), says(2n, "Bob")];
  assert.deepEqual(handler.handle(events), [
    send(one(1n), "* What is your name?"),
    send(one(2n), "* What is your name?"),
    send(many([1n, 2n]), "* Anna is here"),
    send(many([1n, 2n]), "* Bob is here"),
  ]);
  assert.deepEqual(handler.handle([says(1n, "hello"), closed(1n), closed(3n)]), [
    send(many([1n, 2n]), "Anna: hello"),
    send(many([2n]), "* Anna has left"),
  ]);
});

test("every room has the page", () => {
  const request = { connection: 3n };
  assert.deepEqual(handler.handle([{ tag: "request", val: request }]), [respondHtml(request, 200, page)]);
});
