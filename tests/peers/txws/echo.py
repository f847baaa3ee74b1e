"""Twisted's own echo, wrapped as its README says. It has draft 76; it never had draft 75."""
import os
import sys
import threading

from twisted.internet import protocol, reactor
from twisted.protocols.wire import Echo
from txws import WebSocketFactory


def end_with_stdin():
    sys.stdin.buffer.read()
    os._exit(0)


factory = WebSocketFactory(protocol.Factory.forProtocol(Echo))
port = reactor.listenTCP(0, factory, backlog=1024, interface="127.0.0.1")
print(f"listening on ws://127.0.0.1:{port.getHost().port}/echo")
threading.Thread(target=end_with_stdin, daemon=True).start()
reactor.run()
