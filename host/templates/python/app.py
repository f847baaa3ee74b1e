"""Rooms to talk in: each path is one. The first line that a client sends is its name.

World `application` of wit/ defines the events and commands.
"""

from legacy_websocket import SINGLE_INSTANCE, Rooms, one, path, respond_html, send, texts
from page import PAGE
from wit_world import exports
from wit_world.imports.types import Event_Closed, Event_Connected, Event_Messages, Event_Request


rooms = Rooms()
names: dict[int, str] = {}  # by connection


class Handler(exports.Handler):
    def handle(self, events):
        if not events:
            # The first call. The clients of all cores share the rooms.
            return [SINGLE_INSTANCE]
        return [command for event in events for command in react(event)]


def react(event):
    match event:
        case Event_Connected(client):
            rooms.join(path(client), client.connection)
            names[client.connection] = ""
            yield send(one(client.connection), "* What is your name?")
        case Event_Messages(batch):
            for line in map(str.strip, texts(batch)):
                if line:
                    yield hear(batch.connection, line)
        case Event_Closed(closed):
            room = next(iter(rooms.of(closed.connection)), None)
            rooms.remove(closed)
            # Plain HTTP and refused connections are closed, too: they have none.
            if name := names.pop(closed.connection, None):
                yield rooms.send(room, f"* {name} has left")
        case Event_Request(request):
            yield respond_html(request, 200, PAGE)


def hear(connection, line):
    [room] = rooms.of(connection)
    if name := names[connection]:
        return rooms.send(room, f"{name}: {line}")
    name = names[connection] = line[:20]
    return rooms.send(room, f"* {name} is here")
