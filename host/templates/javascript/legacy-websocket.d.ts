// The types of legacy-websocket.js, and those of world `application` that it needs.

export type ConnectionId = bigint;
export type Protocol = "draft75" | "draft76" | "hybi7" | "hybi8" | "rfc6455";

export interface Field { name: string; value: Uint8Array }
export interface RequestHead { method: string; target: Uint8Array; fields: Field[] }

export interface Handshake {
  connection: ConnectionId;
  protocol: Protocol;
  peer: string;
  subprotocol?: string;
  head: RequestHead;
}
export type Connected = Handshake;
export interface Request { connection: ConnectionId; peer: string; head: RequestHead; body: Uint8Array }
export interface Messages { connection: ConnectionId; text: string; ends: Uint32Array }
export interface Binary { connection: ConnectionId; bytes: Uint8Array }
export interface Closed {
  connection: ConnectionId;
  cause: { tag: string; val?: string };
  code?: number;
  reason: string;
}
export interface Rejection { connection: ConnectionId; peer: string; status: number; reason: string }
export interface StateChange { connection: ConnectionId; old: string; new: string }
export interface Failed { connection: ConnectionId; command: string; why: string }

export type Event =
  | { tag: "state-changed"; val: StateChange }
  | { tag: "handshake"; val: Handshake }
  | { tag: "connected"; val: Connected }
  | { tag: "messages"; val: Messages }
  | { tag: "binary"; val: Binary }
  | { tag: "closed"; val: Closed }
  | { tag: "rejected"; val: Rejection }
  | { tag: "request"; val: Request }
  | { tag: "failed"; val: Failed }
  | { tag: "tick"; val: bigint };

export type Recipients =
  | { tag: "one"; val: ConnectionId }
  | { tag: "many"; val: ConnectionId[] }
  | { tag: "all" }
  | { tag: "all-but"; val: ConnectionId };

export type Command =
  | { tag: "send"; val: { to: Recipients; text: string; ends: number[] } }
  | { tag: "send-binary"; val: { to: Recipients; bytes: Uint8Array } }
  | { tag: "close"; val: { connection: ConnectionId; code?: number; reason: string } }
  | { tag: "accept"; val: { connection: ConnectionId; subprotocol?: string; fields: Field[] } }
  | { tag: "reject"; val: { connection: ConnectionId; status: number; reason: string } }
  | { tag: "respond"; val: { connection: ConnectionId; status: number; fields: Field[]; body: Uint8Array } }
  | { tag: "tick"; val: bigint }
  | { tag: "single-instance" };

type ToAnswer = Pick<Handshake | Request, "connection">;
type WithHead = Pick<Handshake | Request, "head">;
type Fields = Record<string, string> | Iterable<readonly [string, string]>;

export const all: Recipients;
export function one(connection: ConnectionId): Recipients;
export function many(connections: Iterable<ConnectionId>): Recipients;
export function allBut(connection: ConnectionId): Recipients;

export function send(to: Recipients, ...texts: string[]): Command;
export function sendBinary(to: Recipients, bytes: Uint8Array): Command;
export function close(connection: ConnectionId, code?: number, reason?: string): Command;
export function accept(handshake: Handshake, fields?: Fields): Command;
export function reject(handshake: ToAnswer, status: number, reason: string): Command;
export function respond(request: ToAnswer, status: number, fields: Fields, body?: string | Uint8Array): Command;
export function respondText(request: ToAnswer, status: number, text: string, fields?: Fields): Command;
export function respondHtml(request: ToAnswer, status: number, page: string, fields?: Fields): Command;
export function respondJson(request: ToAnswer, status: number, value: unknown, fields?: Fields): Command;
export function redirect(request: ToAnswer, location: string, fields?: Fields): Command;
export const singleInstance: Command;

export function texts(messages: Pick<Messages, "text"> & { ends: Iterable<number> }): string[];
export function path(event: WithHead): string;
export function query(event: WithHead): URLSearchParams;
export function field(event: WithHead, name: string): string | undefined;
export function origin(event: WithHead): string | undefined;
export function cookies(event: WithHead): Map<string, string>;

export class Rooms<K = string> {
  join(room: K, connection: ConnectionId): void;
  leave(room: K, connection: ConnectionId): void;
  remove(closed: Pick<Closed, "connection">): void;
  send(room: K, ...texts: string[]): Command;
  members(room: K): ConnectionId[];
  of(connection: ConnectionId): K[];
}

export class Timers<K = string> {
  every(name: K, milliseconds: number): void;
  once(name: K, milliseconds: number): void;
  cancel(name: K): boolean;
  due(tick: bigint): K[];
  request(): Command[];
}
