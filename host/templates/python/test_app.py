"""`python3 -m unittest`: without building a component."""

import subprocess
import sys
import unittest
from pathlib import Path

# What a component finds as `wit_world`.
BINDINGS = Path(__file__).with_name("bindings")
if not BINDINGS.exists():
    wit = BINDINGS.with_name("wit")
    subprocess.run(["componentize-py", "-d", wit, "-w", "application", "bindings", BINDINGS], check=True)
sys.path.insert(0, str(BINDINGS))

from app import Handler
from legacy_websocket import SINGLE_INSTANCE, many, one, respond_html, send
from page import PAGE
from wit_world.imports.types import (
    CloseCause_ByPeer, Closed, Connected, Event_Closed, Event_Connected, Event_Messages, Event_Request, Messages,
    Protocol, Request, RequestHead,
)


def connected(connection, target):
    return Event_Connected(Connected(connection, Protocol.DRAFT76, "192.0.2.1:1024", None, head(target)))


def head(target):
    return RequestHead("GET", target, [])


def says(connection, text):
    return Event_Messages(Messages(connection, text, [len(text.encode())]))


def closed(connection):
    return Event_Closed(Closed(connection, CloseCause_ByPeer(), None, ""))


class Chat(unittest.TestCase):
    def test_the_rooms_are_those_of_all_clients(self):
        self.assertEqual(Handler().handle([]), [SINGLE_INSTANCE])

    def test_those_in_a_room_hear_each_other(self):
        clients = [connected(1, b"/tea"), connected(2, b"/tea")]
        self.assertEqual(Handler().handle([*clients, says(1, "Anna"), says(2, " "), says(2, "Bob")]), [
            send(one(1), "* What is your name?"),
            send(one(2), "* What is your name?"),
            send(many([1, 2]), "* Anna is here"),
            send(many([1, 2]), "* Bob is here"),
        ])
        self.assertEqual(Handler().handle([says(1, "hello"), closed(1), closed(3)]), [
            send(many([1, 2]), "Anna: hello"),
            send(many([2]), "* Anna has left"),
        ])

    def test_every_room_has_the_page(self):
        request = Request(3, "192.0.2.1:1024", head(b"/tea"), b"")
        self.assertEqual(Handler().handle([Event_Request(request)]), [respond_html(request, 200, PAGE)])
