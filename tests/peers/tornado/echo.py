"""The echo of its documentation on tornado.websocket. 3.2 is the last version with draft 76; it never had draft 75."""
import os
import sys
import threading

import tornado.httpserver
import tornado.ioloop
import tornado.netutil
import tornado.web
import tornado.websocket


class Echo(tornado.websocket.WebSocketHandler):
    def allow_draft76(self):
        return True

    def on_message(self, message):
        self.write_message(message)


def end_with_stdin():
    sys.stdin.buffer.read()
    os._exit(0)


sockets = tornado.netutil.bind_sockets(0, "127.0.0.1", backlog=1024)
server = tornado.httpserver.HTTPServer(tornado.web.Application([(r"/.*", Echo)]))
server.add_sockets(sockets)
print(f"listening on ws://127.0.0.1:{sockets[0].getsockname()[1]}/echo")
threading.Thread(target=end_with_stdin, daemon=True).start()
tornado.ioloop.IOLoop.instance().start()
