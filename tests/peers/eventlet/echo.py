"""The echo of its documentation on eventlet.websocket."""
import os
import sys

import eventlet
from eventlet import tpool, websocket, wsgi


@websocket.WebSocketWSGI
def echo(ws):
    while (message := ws.wait()) is not None:
        ws.send(message)


def end_with_stdin():
    tpool.execute(sys.stdin.buffer.read)
    os._exit(0)


listener = eventlet.listen(("127.0.0.1", 0), backlog=1024)
print(f"listening on ws://127.0.0.1:{listener.getsockname()[1]}/echo")
eventlet.spawn(end_with_stdin)
wsgi.server(listener, echo, log=sys.stderr, log_output=False)
