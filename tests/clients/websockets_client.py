"""PyPI's websockets as a client, driven by lines as tests/support/third_party.rs says: `URL [SUBPROTOCOL…]`."""
import asyncio
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus


def say(*words):
    print(" ".join(map(str, words)).rstrip(), flush=True)


async def hear(client):
    try:
        while True:
            message = await client.recv()
            say("text", message) if isinstance(message, str) else say("binary", message.hex())
    except ConnectionClosed:
        say("close", client.close_code, client.close_reason)


async def follow(client, line):
    command, _, rest = line.partition(" ")
    match command:
        case "text":
            await client.send(rest)
        case "binary":
            await client.send(bytes.fromhex(rest))
        case "fragments":
            await client.send(rest.split(" "))
        case "ping":
            await (await client.ping(rest))
            say("pong", rest)
        case "close":
            code, _, reason = rest.partition(" ")
            await client.close(int(code), reason)
        case _:
            raise ValueError(line)


async def main(url, *subprotocols):
    lines = asyncio.StreamReader(limit=2**20)
    protocol = asyncio.StreamReaderProtocol(lines)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    try:
        client = await connect(url, origin="http://example.com", subprotocols=subprotocols or None)
    except InvalidStatus as refusal:
        return say("refused", refusal.response.status_code)
    say("open", client.subprotocol or "")
    hearing = asyncio.create_task(hear(client))
    following = asyncio.create_task(follow_all(client, lines))
    await hearing
    following.cancel()


async def follow_all(client, lines):
    while line := await lines.readline():
        await follow(client, line.decode().rstrip("\n"))


asyncio.run(main(*sys.argv[1:]))
