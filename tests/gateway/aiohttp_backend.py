"""A backend on PyPI's aiohttp: echoes, and answers other requests with what it was asked."""
import asyncio
import sys

from aiohttp import WSMsgType, web


async def answer(request):
    socket = web.WebSocketResponse()
    if not socket.can_prepare(request):
        return web.Response(text=f"{request.method} {request.path_qs}\n")
    await socket.prepare(request)
    async for message in socket:
        if message.type == WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type == WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    print("closed", socket.close_code, flush=True)
    return socket


async def main():
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    print(f"listening on http://127.0.0.1:{port}/", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
