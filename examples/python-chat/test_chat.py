"""`python -m unittest`: the chat and its helpers, without building a component. README.md says how."""

import json
import unittest
from math import inf, nan

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
        sent = ws.send(ws.ALL, "\ud83d", "\ude00", "\ufeffa").value
        self.assertEqual((sent.text, sent.ends), ("\ufffd\ufffd\ufeffa", [3, 6, 10]))

    def test_half_a_surrogate_pair_raises_nothing(self):
        half = json.loads('"\\ud800"')
        self.assertEqual(ws.respond_text(connected(3), 200, half).value.body, "\ufffd".encode())
        self.assertEqual(ws.accept(connected(3), {"a": half}).value.fields, [Field("a", "\ufffd".encode())])
        self.assertEqual(ws.close(3, 4000, half).value.reason, "\ufffd")
        self.assertEqual(ws.reject(connected(3), 403, half).value.reason, "\ufffd")

    def test_heads_are_text(self):
        fields = ("cookie", b"a=1; b=x=y;c; a=2"), ("Host", b"example.com")
        event = connected(1, b"/caf%C3%A9?room=a+b&x&room=c", *fields)
        self.assertEqual(ws.path(event), "/café")
        paths = [
            (b"/x?y", "/x"), (b"/caf%C3%A9%2", "/café%2"), (b"/%61%g1%", "/a%g1%"), (b"/%E9", "/\ufffd"), (b"", ""),
            (b"/\xc3%A9\xff", "/é\ufffd"),
        ]
        for target, path in paths:
            self.assertEqual(ws.path(connected(1, target)), path)
        self.assertEqual(list(ws.query(connected(1, b"/??a=1&b"))), ["?a", "b"])
        self.assertEqual(ws.query(event), {"room": "a b", "x": ""})
        self.assertEqual(ws.cookies(event), {"a": "1", "b": "x=y"})
        self.assertEqual((ws.field(event, "host"), ws.field(event, "Origin")), ("example.com", None))

    def test_an_origin_has_another_name_in_versions_7_and_8(self):
        page, other = ("Origin", b"http://page"), ("sec-websocket-origin", b"http://other")
        for version, found in [(b"7", "http://other"), (b"8", "http://other"), (b"13", "http://page")]:
            event = connected(1, b"/", page, other, ("Sec-WebSocket-Version", version))
            self.assertEqual(ws.origin(event), found)
        self.assertEqual(ws.origin(connected(1, b"/", page, ("Sec-WebSocket-Version", b"8"))), "http://page")
        self.assertEqual(ws.origin(connected(1)), None)

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

    def test_times_are_whole_milliseconds_and_at_least_one(self):
        for milliseconds, after in [(0.5, 1), (-1, 1), (nan, 1), (1500.7, 1500), (inf, 2**53)]:
            timers = ws.Timers()
            timers.every("x", milliseconds)
            timers.due(0)
            [tick] = timers.request()
            self.assertEqual((tick, type(tick.value)), (Command_Tick(after), int))

    def test_what_is_not_json_is_our_fault(self):
        for value, status in [([1, None], 200), (object(), 500), (nan, 500), ("\ud800", 200)]:
            self.assertEqual(ws.respond_json(connected(3), 200, value).value.status, status)

    def test_fields_may_repeat(self):
        cookies = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
        sent = [Field(name, value.encode()) for name, value in cookies]
        self.assertEqual(ws.accept(connected(3), cookies).value.fields, sent)
        self.assertEqual(ws.redirect(connected(3), "/in", cookies).value.fields, [Field("Location", b"/in"), *sent])
        self.assertEqual(ws.respond_text(connected(3), 200, "", {"a": "b"}).value.fields[-1], Field("a", b"b"))

    def test_a_location_has_what_urls_have(self):
        for location, sent in [
            ("/a\r\nb\0/\\ é\ud83d?x=%20#y", b"/a%0D%0Ab%00/%5C%20%C3%A9%EF%BF%BD?x=%20#y"),
            ("http://[::1]:80/~a;b=(c)'!*", b"http://[::1]:80/~a;b=(c)'!*"),
        ]:
            self.assertEqual(ws.redirect(connected(3), location).value.fields, [Field("Location", sent)])

    def test_answers_have_their_types(self):
        answer = ws.respond_json(connected(3), 200, {"a": 1}).value
        self.assertEqual(answer.fields, [Field("Content-Type", b"application/json")])
        self.assertEqual(answer.body, b'{"a": 1}')
