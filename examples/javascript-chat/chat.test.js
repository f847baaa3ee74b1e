// `npm test`: the chat and its helpers, in Node, without building a component.

import assert from "node:assert/strict";
import { test } from "node:test";

import { handler } from "./chat.js";
import * as ws from "./legacy-websocket.js";

const bytes = (text) => new TextEncoder().encode(text);
const head = (target, fields = {}) => ({
  head: {
    method: "GET",
    target: bytes(target),
    fields: Object.entries(fields).map(([name, value]) => ({ name, value: bytes(value) })),
  },
});

test("everyone hears who comes, speaks and leaves", () => {
  const connected = { tag: "connected", val: { connection: 1n } };
  const messages = { tag: "messages", val: { connection: 1n, text: "hi/nick Anna", ends: [2, 12] } };
  assert.deepEqual(handler.handle([connected, messages, { tag: "closed", val: { connection: 1n } }]), [
    ws.send(ws.one(1n), "* you are guest 1"),
    ws.send(ws.allBut(1n), "* guest 1 joined"),
    ws.send(ws.all, "guest 1: hi"),
    ws.send(ws.all, "* guest 1 is now Anna"),
    ws.send(ws.all, "* Anna left"),
  ]);
  assert.deepEqual(handler.handle([{ tag: "closed", val: { connection: 2n } }]), []);
});

test("texts end where their bytes do", () => {
  const { val } = ws.send(ws.all, "é", "", "llo");
  assert.deepEqual(val, { to: { tag: "all" }, text: "éllo", ends: [2, 2, 5] });
  assert.deepEqual(ws.texts(val), ["é", "", "llo"]);
});

test("heads are text", () => {
  const event = head("/caf%C3%A9?room=a+b&x", { cookie: "a=1; b=x=y;c; a=2", Host: "example.com" });
  assert.equal(ws.path(event), "/café");
  assert.equal(ws.path(head("/%E9")), "/%E9");
  assert.equal(ws.query(event).get("room"), "a b");
  assert.deepEqual([...ws.cookies(event)], [["a", "1"], ["b", "x=y"]]);
  assert.equal(ws.field(event, "host"), "example.com");
  assert.equal(ws.field(event, "Origin"), undefined);
});

test("a room is there while somebody is in it", () => {
  const rooms = new ws.Rooms();
  rooms.join("tea", 1n);
  rooms.join("tea", 2n);
  rooms.join("coffee", 1n);
  assert.deepEqual(rooms.send("tea", "hi"), ws.send(ws.many([1n, 2n]), "hi"));
  rooms.remove({ connection: 1n });
  assert.deepEqual([rooms.members("tea"), rooms.members("coffee"), rooms.of(1n)], [[2n], [], []]);
});

test("one tick serves all timers", () => {
  const timers = new ws.Timers();
  const tick = (milliseconds) => [{ tag: "tick", val: BigInt(milliseconds) }];
  timers.every("second", 1000);
  timers.once("soon", 400);
  assert.deepEqual([timers.request(), timers.request()], [tick(0), []]);
  assert.deepEqual([timers.due(5000n), timers.request()], [[], tick(400)]);
  assert.deepEqual([timers.due(8500n), timers.request()], [["soon", "second"], tick(500)]);
  timers.once("again", 10);
  assert.deepEqual(timers.request(), tick(0));
});

test("answers have their types", () => {
  const { val } = ws.respondJson({ connection: 3n }, 200, { a: 1 });
  assert.deepEqual(val.fields, [{ name: "Content-Type", value: bytes("application/json") }]);
  assert.deepEqual(val.body, bytes('{"a":1}'));
  const asked = { connection: 3n, subprotocol: "chat" };
  assert.deepEqual(ws.accept(asked).val, { ...asked, fields: [] });
});
