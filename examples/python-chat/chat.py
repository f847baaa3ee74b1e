"""A chat: every message goes to everyone, and /nick NAME changes a name.

World `application` of wit/ defines the events and commands.
"""

from itertools import count

from wit_world import exports
from wit_world.imports.types import (
    Command_Respond, Command_Send, Event_Closed, Event_Connected, Event_Messages, Event_Request, Field, Messages,
    Outgoing, Recipients_All, Recipients_AllBut, Recipients_One, Response,
)

names: dict[int, str] = {}  # by connection
guests = count(1)  # connection ids have gaps, since HTTP requests are connections, too


def send(to, text):
    return Command_Send(Outgoing(to, text, [len(text.encode())]))


class Handler(exports.Handler):
    def handle(self, events):
        return [command for event in events for command in react(event)]


def react(event):
    match event:
        case Event_Connected(connected):
            connection = connected.connection
            name = names[connection] = f"guest {next(guests)}"
            yield send(Recipients_One(connection), f"* you are {name}")
            yield send(Recipients_AllBut(connection), f"* {name} joined")
        case Event_Messages(batch):
            for text in texts(batch):
                yield say(batch.connection, text)
        case Event_Closed(closed):
            # Plain HTTP and refused connections are closed, too.
            if name := names.pop(closed.connection, None):
                yield send(Recipients_All(), f"* {name} left")
        case Event_Request(request):
            fields = [Field("Content-Type", b"text/plain; charset=utf-8")]
            body = b"A chat in Python. Come by WebSocket.\n"
            yield Command_Respond(Response(request.connection, 200, fields, body))


def say(connection, text):
    name = names[connection]
    if not text.startswith("/nick "):
        return send(Recipients_All(), f"{name}: {text}")
    new = text.removeprefix("/nick ").strip()
    if not 1 <= len(new) <= 20:
        return send(Recipients_One(connection), "* a name has 1 to 20 characters")
    names[connection] = new
    return send(Recipients_All(), f"* {name} is now {new}")


def texts(batch: Messages):
    """The messages of a batch: its text is their concatenation, and `ends` has the byte offset where each ends."""
    data, start = batch.text.encode(), 0
    for end in batch.ends:
        yield data[start:end].decode()
        start = end
