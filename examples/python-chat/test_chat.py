"""`python -m unittest`: the chat and its helpers, without building a component. README.md says how."""

import unittest

import legacy_websocket as ws
from chat import Handler
from wit_world.imports.types import (
    CloseCause_ByPeer, Closed, Command_Tick, Connected, Event_Closed, Event_Connected, Event_Messages, Field, Messages,
    Protocol, RequestHead,
)


def connected(connection, target=b"/", *fields):
    head = RequestHead("GET", target, [Field(name, value) for name, value in fields])
    return Connected(connection, Protocol.DRAFT76, "192.0.2.1:1024", None, head)


def closed(connection):
    return Closed(connection, CloseCause_ByPeer(), None, "")


class Chat(unittest.TestCase):
    def test_everyone_hears_who_comes_speaks_and_leaves(self):
        messages = Messages(1, "hi/nick Anna", [2, 12])
        events = [Event_Connected(connected(1)), Event_Messages(messages), Event_Closed(closed(1))]
        self.assertEqual(Handler().handle(events), [
            ws.send(ws.one(1), "* you are guest 1"),
            ws.send(ws.all_but(1), "* guest 1 joined"),
            ws.send(ws.ALL, "guest 1: hi"),
            ws.send(ws.ALL, "* guest 1 is now Anna"),
            ws.send(ws.ALL, "* Anna left"),
        ])
        self.assertEqual(Handler().handle([Event_Closed(closed(2))]), [])


class Helpers(unittest.TestCase):
    def test_texts_end_where_their_bytes_do(self):
        sent = ws.send(ws.ALL, "é", "", "llo").value
        self.assertEqual((sent.text, sent.ends), ("éllo", [2, 2, 5]))
        self.assertEqual(list(ws.texts(Messages(1, sent.text, sent.ends))), ["é", "", "llo"])

    def test_heads_are_text(self):
        fields = ("cookie", b"a=1; b=x=y;c; a=2"), ("Host", b"example.com")
        event = connected(1, b"/caf%C3%A9?room=a+b&x&room=c", *fields)
        self.assertEqual(ws.path(event), "/café")
        self.assertEqual(ws.query(event), {"room": "a b", "x": ""})
        self.assertEqual(ws.cookies(event), {"a": "1", "b": "x=y"})
        self.assertEqual((ws.field(event, "host"), ws.field(event, "Origin")), ("example.com", None))

    def test_a_room_is_there_while_somebody_is_in_it(self):
        rooms = ws.Rooms()
        for room, connection in [("tea", 1), ("tea", 2), ("coffee", 1)]:
            rooms.join(room, connection)
        self.assertEqual(rooms.send("tea", "hi"), ws.send(ws.many([1, 2]), "hi"))
        rooms.remove(closed(1))
        self.assertEqual((rooms.members("tea"), rooms.members("coffee"), rooms.of(1)), ([2], [], []))

    def test_one_tick_serves_all_timers(self):
        timers = ws.Timers()
        timers.every("second", 1000)
        timers.once("soon", 400)
        self.assertEqual((timers.request(), timers.request()), ([Command_Tick(0)], []))
        self.assertEqual((timers.due(5000), timers.request()), ([], [Command_Tick(400)]))
        self.assertEqual((timers.due(8500), timers.request()), (["soon", "second"], [Command_Tick(500)]))
        timers.once("again", 10)
        self.assertEqual(timers.request(), [Command_Tick(0)])

    def test_answers_have_their_types(self):
        answer = ws.respond_json(connected(3), 200, {"a": 1}).value
        self.assertEqual(answer.fields, [Field("Content-Type", b"application/json")])
        self.assertEqual(answer.body, b'{"a": 1}')
