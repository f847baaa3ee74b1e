"""What an application in Python needs beyond world `application` of wit/: commands, heads as text, rooms, timers.

Copy it beside your own file.
"""

import json
import re
from collections.abc import Iterable, Iterator
from itertools import accumulate
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from wit_world.imports.types import (
    Acceptance, Closed, Closing, Command, Command_Accept, Command_Close, Command_Reject, Command_Respond,
    Command_Send, Command_SendBinary, Command_SingleInstance, Command_Tick, Connected, Field, Handshake, Messages,
    Outgoing, OutgoingBinary, Recipients, Recipients_All, Recipients_AllBut, Recipients_Many, Recipients_One, Refusal,
    Request, Response,
)

# To be returned by the first call if all connections share the application's state: in `Rooms`, in `Timers`, or in your
# own. Without it there is an instance on each core, with its own rooms, timers and connections.
SINGLE_INSTANCE = Command_SingleInstance()

# Fields of a head. A list has several of one name, as Set-Cookie needs. A value with CR, LF or NUL, and a field of the
# server's own (Connection, Content-Length, Sec-WebSocket-…) make the whole command `invalid`: the client then waits.
Fields = dict[str, str] | Iterable[tuple[str, str]]

ALL = Recipients_All()


def one(connection: int) -> Recipients:
    return Recipients_One(connection)


def many(connections: Iterable[int]) -> Recipients:
    return Recipients_Many(list(connections))


def all_but(connection: int) -> Recipients:
    return Recipients_AllBut(connection)


def send(to: Recipients, *texts: str) -> Command:
    """Sends one text message or several, at least one, as one command."""
    data = [_utf8(text) for text in texts]
    ends = list(accumulate(len(text) for text in data))
    return Command_Send(Outgoing(to, b"".join(data).decode(), ends))


def send_binary(to: Recipients, data: bytes) -> Command:
    """Sends a binary message, which drafts 75 and 76 do not have."""
    return Command_SendBinary(OutgoingBinary(to, data))


def close(connection: int, code: int | None = None, reason: str = "") -> Command:
    """Closes a connection; without a code, with 1000."""
    return Command_Close(Closing(connection, code, _utf8(reason).decode()))


def accept(handshake: Handshake, fields: Fields = ()) -> Command:
    """Accepts a handshake with the subprotocol that it asked for."""
    return Command_Accept(Acceptance(handshake.connection, handshake.subprotocol, _fields(fields)))


def reject(handshake: Handshake | Request, status: int, reason: str) -> Command:
    """Refuses a handshake with a status, 400 to 599, and a line of text."""
    return Command_Reject(Refusal(handshake.connection, status, _utf8(reason).decode()))


def respond(request: Handshake | Request, status: int, fields: Fields, body: bytes | str = b"") -> Command:
    """Answers a request, or a handshake with something other than a 101."""
    data = _utf8(body) if isinstance(body, str) else body
    return Command_Respond(Response(request.connection, status, _fields(fields), data))


def respond_text(request: Handshake | Request, status: int, text: str, fields: Fields = ()) -> Command:
    return respond(request, status, [("Content-Type", "text/plain; charset=utf-8"), *_pairs(fields)], text)


def respond_html(request: Handshake | Request, status: int, page: str, fields: Fields = ()) -> Command:
    return respond(request, status, [("Content-Type", "text/html; charset=utf-8"), *_pairs(fields)], page)


def respond_json(request: Handshake | Request, status: int, value: object, fields: Fields = ()) -> Command:
    """Answers with a value as JSON. One that cannot be written as JSON, such as NaN, is a 500 that says why."""
    try:
        data = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        return respond_text(request, 500, f"{error}\n")
    return respond(request, status, [("Content-Type", "application/json"), *_pairs(fields)], data)


def redirect(request: Handshake | Request, location: str, fields: Fields = ()) -> Command:
    """303: the client is to GET this location, a path or a URL.

    What no URL has (controls, spaces, backslashes, non-ASCII) is percent-encoded; a `%` stays. Check one of the
    client's making: one that begins with `//` is on another host, also if it is `path(request)`.
    """
    return respond(request, 303, [("Location", quote(_utf8(location), safe=_IN_URLS)), *_pairs(fields)])


def texts(messages: Messages) -> Iterator[str]:
    """The messages of a batch: its text is their concatenation, and `ends` has the byte offset where each ends."""
    data, start = messages.text.encode(), 0
    for end in messages.ends:
        yield data[start:end].decode()
        start = end


def path(event: Handshake | Connected | Request) -> str:
    """The path, percent-decoded; U+FFFD for what is not UTF-8.

    `%2F`, `%3F` and `%0D%0A` are decoded, too: a redirect to the same place starts from `head.target` instead.
    """
    return unquote_to_bytes(event.head.target.partition(b"?")[0]).decode(errors="replace")


def query(event: Handshake | Connected | Request) -> dict[str, str]:
    """The query; the first of a name counts."""
    found: dict[str, str] = {}
    text = event.head.target.partition(b"?")[2].decode(errors="replace")
    for name, value in parse_qsl(text, keep_blank_values=True):
        found.setdefault(name, value)
    return found


def field(event: Handshake | Connected | Request, name: str) -> str | None:
    """The value of the first field with that name, in any case."""
    return next(_values(event, name), None)


def origin(event: Handshake | Connected | Request) -> str | None:
    """Where the page is from, if the client is a browser.

    That is `Origin`, or `Sec-WebSocket-Origin` in versions 7 and 8 of hybi, where libraries send `Origin` as well.
    """
    is_hybi = (field(event, "Sec-WebSocket-Version") or "").strip() in ("7", "8")
    of_hybi = field(event, "Sec-WebSocket-Origin") if is_hybi else None
    return field(event, "Origin") if of_hybi is None else of_hybi


def cookies(event: Handshake | Connected | Request) -> dict[str, str]:
    """The cookies, as they were sent; the first of a name counts."""
    found: dict[str, str] = {}
    for pair in ";".join(_values(event, "Cookie")).split(";"):
        name, equals, value = pair.partition("=")
        if equals:
            found.setdefault(name.strip(), value.strip())
    return found


class Rooms:
    """Rooms: a connection is in any number of them, from `connected` to `closed`.

    A room exists while somebody is in it. They are one instance's: return `SINGLE_INSTANCE` from the first call.
    """

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

    The time is that of the ticks, so a timer that is set between two asks for one at once, and counts from there. Every
    call of the application ends with `request()`, also one that returns early. They are one instance's: return
    `SINGLE_INSTANCE` from the first call.
    """

    def __init__(self) -> None:
        self._timers: dict[str, _Timer] = {}
        self._now: int | None = None
        self._asked = False

    def every(self, name: str, milliseconds: float) -> None:
        """Sets a timer that is due every so many milliseconds, whole ones, and at least one."""
        self._timers[name] = _Timer(milliseconds, True, self._now)

    def once(self, name: str, milliseconds: float) -> None:
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
    def __init__(self, after: float, repeats: bool, now: int | None) -> None:
        # In this order, NaN is 1.
        self.after, self.repeats = int(min(max(1, after), _LONGEST)), repeats
        self.due = None if now is None else now + self.after


# More than a hundred thousand years.
_LONGEST = 2**53

# Printable ASCII, without the backslash, which browsers take for a slash.
_IN_URLS = "".join(map(chr, range(0x21, 0x7F))).replace("\\", "")


# UTF-8 does not have them; `json.loads` makes them of what clients send.
_HALVES = re.compile("[\ud800-\udfff]")


def _utf8(text: str) -> bytes:
    """With U+FFFD for halves of surrogate pairs."""
    return _HALVES.sub("\ufffd", text).encode()


def _pairs(fields: Fields) -> Iterable[tuple[str, str]]:
    return fields.items() if isinstance(fields, dict) else fields


def _fields(fields: Fields) -> list[Field]:
    return [Field(name, _utf8(value)) for name, value in _pairs(fields)]


def _values(event, name: str) -> Iterator[str]:
    fields = (field for field in event.head.fields if field.name.lower() == name.lower())
    return (field.value.decode(errors="replace") for field in fields)
