"""A chat: every message goes to everyone, and /nick NAME changes a name.

World `application` of wit/ defines the events and commands.
"""

from itertools import count

from legacy_websocket import ALL, all_but, one, respond_text, send, texts
from wit_world import exports
from wit_world.imports.types import Event_Closed, Event_Connected, Event_Messages, Event_Request

names: dict[int, str] = {}  # by connection
guests = count(1)  # connection ids have gaps, since HTTP requests are connections, too


class Handler(exports.Handler):
    def handle(self, events):
        return [command for event in events for command in react(event)]


def react(event):
    match event:
        case Event_Connected(connected):
            connection = connected.connection
            name = names[connection] = f"guest {next(guests)}"
            yield send(one(connection), f"* you are {name}")
            yield send(all_but(connection), f"* {name} joined")
        case Event_Messages(batch):
            for text in texts(batch):
                yield say(batch.connection, text)
        case Event_Closed(closed):
            # Plain HTTP and refused connections are closed, too.
            if name := names.pop(closed.connection, None):
                yield send(ALL, f"* {name} left")
        case Event_Request(request):
            yield respond_text(request, 200, "A chat in Python. Come by WebSocket.\n")


def say(connection, text):
    name = names[connection]
    if not text.startswith("/nick "):
        return send(ALL, f"{name}: {text}")
    new = text.removeprefix("/nick ").strip()
    if not 1 <= len(new) <= 20:
        return send(one(connection), "* a name has 1 to 20 characters")
    names[connection] = new
    return send(ALL, f"* {name} is now {new}")
