"""lighttpd's mod_wstunnel before a TCP echo. It has draft 76; it never had draft 75.

What its backend sends is a message in the pieces in which it comes: messages may be joined or split, and an empty one
never reaches the backend.
"""
import ctypes
import os
import pathlib
import signal
import socket
import sys
import threading

folder = pathlib.Path(sys.argv[1])


def listen():
    return socket.create_server(("127.0.0.1", 0), backlog=1024)


def echo(stream):
    with stream:
        while data := stream.recv(65_536):
            stream.sendall(data)


def echo_all(listener):
    while True:
        stream, _ = listener.accept()
        threading.Thread(target=echo, args=(stream,), daemon=True).start()


backend, front = listen(), listen()
port = front.getsockname()[1]
config = folder / f"{port}.conf"
config.write_text(f"""
server.modules = ("mod_wstunnel")
server.document-root = "{folder}"
server.errorlog = "/dev/stderr"
server.bind = "127.0.0.1"
server.port = {port}
server.systemd-socket-activation = "enable"
wstunnel.server = ("/" => (("host" => "127.0.0.1", "port" => {backend.getsockname()[1]})))
wstunnel.frame-type = "text"
""")
threading.Thread(target=echo_all, args=(backend,), daemon=True).start()


process = os.fork()
if process == 0:
    # lighttpd exits with this process, and inherits the listener by socket activation.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    os.dup2(front.fileno(), 3)
    binary = folder / "usr/sbin/lighttpd"
    arguments = [binary, "-D", "-f", config, "-m", folder / "usr/lib/lighttpd"]
    os.execve(binary, arguments, {**os.environ, "LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())})
print(f"listening on ws://127.0.0.1:{port}/echo")
sys.stdin.buffer.read()
os.kill(process, signal.SIGKILL)
os.waitpid(process, 0)
config.unlink()
