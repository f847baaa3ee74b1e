// `npm test`: the chat and its helpers, in Node, without building a component.

import assert from "node:assert/strict";
import { test } from "node:test";

import { handler } from "./chat.js";
import * as ws from "./legacy-websocket.js";

const bytes = (text) => new TextEncoder().encode(text);
const head = (target, fields = {}) => ({
  head: {
    method: "GET",
    target: typeof target === "string" ? bytes(target) : target,
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
  assert.deepEqual(ws.texts(ws.send(ws.all, "\ufeffa", "\ufeff").val), ["\ufeffa", "\ufeff"]);
  assert.deepEqual(ws.texts({ text: "ab", ends: [4, 5] }), ["\ufeffa", "b"]);
  assert.deepEqual(ws.texts(ws.send(ws.all, "\ud83d", "\ude00").val), ["\ufffd", "\ufffd"]);
});

test("heads are text", () => {
  const event = head("/caf%C3%A9?room=a+b&x", { cookie: "a=1; b=x=y;c; a=2", Host: "example.com" });
  assert.equal(ws.path(event), "/café");
  const paths = [["/x?y", "/x"], ["/caf%C3%A9%2", "/café%2"], ["/%61%g1%", "/a%g1%"], ["/%E9", "/\ufffd"], ["", ""]];
  for (const [target, path] of paths) assert.equal(ws.path(head(target)), path);
  assert.equal(ws.path(head(Uint8Array.of(0x2f, 0xc3, 0x25, 0x41, 0x39, 0xff))), "/é\ufffd");
  assert.deepEqual([...ws.query(head("/??a=1&b")).keys()], ["?a", "b"]);
  assert.equal(ws.query(event).get("room"), "a b");
  assert.deepEqual([...ws.cookies(event)], [["a", "1"], ["b", "x=y"]]);
  assert.equal(ws.field(event, "host"), "example.com");
  assert.equal(ws.field(event, "Origin"), undefined);
});

test("an origin has another name in versions 7 and 8", () => {
  const fields = { "sec-websocket-origin": "http://other", Origin: "http://page" };
  const origin = (version) => ws.origin(head("/", { ...fields, "Sec-WebSocket-Version": version }));
  assert.deepEqual(["7", "8", "13"].map(origin), ["http://other", "http://other", "http://page"]);
  assert.equal(ws.origin(head("/", { Origin: "http://page", "Sec-WebSocket-Version": "8" })), "http://page");
  assert.equal(ws.origin(head("/")), undefined);
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

test("times are whole milliseconds, and at least one", () => {
  const longest = Number.MAX_SAFE_INTEGER;
  for (const [milliseconds, after] of [[0.5, 1], [-1, 1], [NaN, 1], [1500.7, 1500], [Infinity, longest]]) {
    const timers = new ws.Timers();
    timers.every("x", milliseconds);
    timers.due(0n);
    assert.deepEqual(timers.request(), [{ tag: "tick", val: BigInt(after) }]);
  }
});

test("what is not JSON is our fault", () => {
  const answer = (value) => ws.respondJson({ connection: 3n }, 200, value).val.status;
  assert.deepEqual([[1, null], 3n, undefined, { connection: 3n }].map(answer), [200, 500, 500, 500]);
});

test("fields may repeat", () => {
  const request = { connection: 3n };
  const cookies = [["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"]];
  const sent = ({ val }) => val.fields.map(({ name, value }) => [name, new TextDecoder().decode(value)]);
  assert.deepEqual(sent(ws.accept(request, cookies)), cookies);
  assert.deepEqual(sent(ws.redirect(request, "/in", cookies)), [["Location", "/in"], ...cookies]);
  assert.deepEqual(sent(ws.respondText(request, 200, "", { a: "b" })).at(-1), ["a", "b"]);
});

test("a location has what URLs have", () => {
  const location = (text) => new TextDecoder().decode(ws.redirect({ connection: 3n }, text).val.fields[0].value);
  assert.equal(location("/a\r\nb\0/\\ é😀\ud83d?x=%20#y"), "/a%0D%0Ab%00/%5C%20%C3%A9%F0%9F%98%80%EF%BF%BD?x=%20#y");
  assert.equal(location("http://[::1]:80/~a;b=(c)'!*"), "http://[::1]:80/~a;b=(c)'!*");
});

test("answers have their types", () => {
  const { val } = ws.respondJson({ connection: 3n }, 200, { a: 1 });
  assert.deepEqual(val.fields, [{ name: "Content-Type", value: bytes("application/json") }]);
  assert.deepEqual(val.body, bytes('{"a":1}'));
  const asked = { connection: 3n, subprotocol: "chat" };
  assert.deepEqual(ws.accept(asked).val, { ...asked, fields: [] });
});
