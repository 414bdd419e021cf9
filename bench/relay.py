"""What the library alone does: stock python-socketio, which passes messages on and stores nothing.

`python -m bench.relay PORT`. A token is `<conversation id>/<side>`; whoever has one is in the conversation.
"""

import asyncio
import gc
import sys
from typing import Any

import orjson
import socketio
import uvloop
from aiohttp import web


class _Json:
    JSONDecodeError = orjson.JSONDecodeError
    loads = staticmethod(orjson.loads)

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        return orjson.dumps(value).decode()


async def serve(port: int) -> None:
    sio = socketio.AsyncServer(async_mode="aiohttp", json=_Json, transports=["websocket"], logger=False)
    numbers: dict[str, int] = {}

    @sio.on("connect")
    async def connect(sid: str, _environ: Any, auth: dict[str, str]) -> None:
        await sio.enter_room(sid, auth["token"].partition("/")[0])

    @sio.on("message.send")
    async def send(sid: str, body: dict[str, Any]) -> dict[str, Any]:
        conversation_id = body["conversation_id"]
        seq = numbers[conversation_id] = numbers.get(conversation_id, 0) + 1
        message = {
            "conversation_id": conversation_id,
            "seq": seq,
            "kind": "message",
            "client_id": body["client_id"],
            "sender": {"account_id": sid, "role": "patient", "name": "张三"},
            "parts": body["parts"],
            "sent_at": "2026-11-22T04:05:06.789Z",
            "recalled": False,
            "recalls": None,
            "corrects": None,
            "closes": None,
        }
        await sio.emit("message.new", message, room=conversation_id, skip_sid=sid)
        return {"ok": True, "message": message}

    app = web.Application()
    sio.attach(app)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
