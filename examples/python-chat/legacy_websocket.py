"""What an application in Python needs beyond world `application` of wit/: commands, heads as text, rooms, timers.

Copy it beside your own file.
"""

import json
from collections.abc import Iterable, Iterator
from urllib.parse import parse_qsl, unquote

from wit_world.imports.types import (
    Acceptance, Closed, Closing, Command, Command_Accept, Command_Close, Command_Reject, Command_Respond,
    Command_Send, Command_SendBinary, Command_Tick, Connected, Field, Handshake, Messages, Outgoing, OutgoingBinary,
    Recipients, Recipients_All, Recipients_AllBut, Recipients_Many, Recipients_One, Refusal, Request, Response,
)

ALL = Recipients_All()


def one(connection: int) -> Recipients:
    return Recipients_One(connection)


def many(connections: Iterable[int]) -> Recipients:
    return Recipients_Many(list(connections))


def all_but(connection: int) -> Recipients:
    return Recipients_AllBut(connection)


def send(to: Recipients, *texts: str) -> Command:
    """Sends one text message or several, at least one, as one command."""
    ends, end = [], 0
    for text in texts:
        end += len(text.encode())
        ends.append(end)
    return Command_Send(Outgoing(to, "".join(texts), ends))


def send_binary(to: Recipients, data: bytes) -> Command:
    """Sends a binary message, which drafts 75 and 76 have not."""
    return Command_SendBinary(OutgoingBinary(to, data))


def close(connection: int, code: int | None = None, reason: str = "") -> Command:
    """Closes a connection; without a code, with 1000."""
    return Command_Close(Closing(connection, code, reason))


def accept(handshake: Handshake, fields: dict[str, str] | None = None) -> Command:
    """Accepts a handshake with the subprotocol that it asked for."""
    return Command_Accept(Acceptance(handshake.connection, handshake.subprotocol, _fields(fields or {})))


def reject(handshake: Handshake | Request, status: int, reason: str) -> Command:
    """Refuses a handshake with a status, 400 to 599, and a line of text."""
    return Command_Reject(Refusal(handshake.connection, status, reason))


def respond(
    request: Handshake | Request, status: int, fields: dict[str, str], body: bytes | str = b""
) -> Command:
    """Answers a request, or a handshake with something else than a 101."""
    data = body.encode() if isinstance(body, str) else body
    return Command_Respond(Response(request.connection, status, _fields(fields), data))


def respond_text(request: Handshake | Request, status: int, text: str) -> Command:
    return respond(request, status, {"Content-Type": "text/plain; charset=utf-8"}, text)


def respond_html(request: Handshake | Request, status: int, page: str) -> Command:
    return respond(request, status, {"Content-Type": "text/html; charset=utf-8"}, page)


def respond_json(request: Handshake | Request, status: int, value: object) -> Command:
    return respond(request, status, {"Content-Type": "application/json"}, json.dumps(value))


def redirect(request: Handshake | Request, location: str) -> Command:
    """303: the client is to GET this location."""
    return respond(request, 303, {"Location": location})


def texts(messages: Messages) -> Iterator[str]:
    """The messages of a batch: its text is their concatenation, and `ends` has the byte offset where each ends."""
    data, start = messages.text.encode(), 0
    for end in messages.ends:
        yield data[start:end].decode()
        start = end


def path(event: Handshake | Connected | Request) -> str:
    """The path, percent-decoded."""
    return unquote(_target(event)[0])


def query(event: Handshake | Connected | Request) -> dict[str, str]:
    """The query; the first of a name counts."""
    return dict(reversed(parse_qsl(_target(event)[1], keep_blank_values=True)))


def field(event: Handshake | Connected | Request, name: str) -> str | None:
    """The value of the first field with that name, in any case."""
    return next(_values(event, name), None)


def cookies(event: Handshake | Connected | Request) -> dict[str, str]:
    """The cookies, as they were sent; the first of a name counts."""
    found: dict[str, str] = {}
    for pair in ";".join(_values(event, "Cookie")).split(";"):
        name, equals, value = pair.partition("=")
        if equals:
            found.setdefault(name.strip(), value.strip())
    return found


class Rooms:
    """Rooms: a connection is in any number of them. A room exists while somebody is in it."""

    def __init__(self) -> None:
        self._members: dict[str, dict[int, None]] = {}

    def join(self, room: str, connection: int) -> None:
        self._members.setdefault(room, {})[connection] = None

    def leave(self, room: str, connection: int) -> None:
        members = self._members.get(room, {})
        members.pop(connection, None)
        if not members:
            self._members.pop(room, None)

    def remove(self, closed: Closed) -> None:
        """A connection that has ended leaves all of its rooms: to be told of every `closed`."""
        for room in self.of(closed.connection):
            self.leave(room, closed.connection)

    def send(self, room: str, *texts: str) -> Command:
        """Texts to everyone in a room, as one command."""
        return send(many(self.members(room)), *texts)

    def members(self, room: str) -> list[int]:
        return list(self._members.get(room, {}))

    def of(self, connection: int) -> list[str]:
        """The rooms that a connection is in."""
        return [room for room, members in self._members.items() if connection in members]


class Timers:
    """Timers, each with a name of your choice, over the one `tick`.

    The time is known only at a tick, so a timer that is set in between asks for one at once, and counts from there.
    Every call of the application ends with `request()`.
    """

    def __init__(self) -> None:
        self._timers: dict[str, _Timer] = {}
        self._now: int | None = None
        self._asked = False

    def every(self, name: str, milliseconds: int) -> None:
        """Sets a timer that is due every so many milliseconds."""
        self._timers[name] = _Timer(milliseconds, True, self._now)

    def once(self, name: str, milliseconds: int) -> None:
        """Sets a timer that is due once."""
        self._timers[name] = _Timer(milliseconds, False, self._now)

    def cancel(self, name: str) -> bool:
        return self._timers.pop(name, None) is not None

    def due(self, now: int) -> list[str]:
        """The names of the timers that are due at a tick, the earliest first."""
        self._now, self._asked = now, False
        due = []
        for name, timer in list(self._timers.items()):
            if timer.due is None:
                timer.due = now + timer.after
            if timer.due <= now:
                due.append((timer.due, name))
                # It keeps its rhythm, however late the tick is.
                timer.due += timer.after * ((now - timer.due) // timer.after + 1)
                if not timer.repeats:
                    del self._timers[name]
        return [name for _, name in sorted(due, key=lambda pair: pair[0])]

    def request(self) -> list[Command]:
        """The commands that the timers need: a list of one `tick`, or of none."""
        now, self._now = self._now, None
        known = [timer.due for timer in self._timers.values() if timer.due is not None]
        if now is not None:
            return [Command_Tick(min(known) - now)] if known else []
        if self._asked or len(known) == len(self._timers):
            return []
        self._asked = True
        return [Command_Tick(0)]


class _Timer:
    def __init__(self, after: int, repeats: bool, now: int | None) -> None:
        self.after, self.repeats = max(1, after), repeats
        self.due = None if now is None else now + self.after


def _fields(fields: dict[str, str]) -> list[Field]:
    return [Field(name, value.encode()) for name, value in fields.items()]


def _target(event) -> tuple[str, str]:
    """The path, and the query without its question mark."""
    path, _, query = event.head.target.decode(errors="replace").partition("?")
    return path, query


def _values(event, name: str) -> Iterator[str]:
    fields = (field for field in event.head.fields if field.name.lower() == name.lower())
    return (field.value.decode(errors="replace") for field in fields)
