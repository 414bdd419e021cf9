"""The real product, started as an operator would, with pairs of people who may talk without end."""

import asyncio
import contextlib
import json
import os
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from bench.load import Pair

_READY_SECONDS = 180.0
_AT_ONCE = 8
_SERVER_CORE, _OTHER_CORE = 0, 1
PARTS = ("serve", "keeper", "worker", "beat", "simulators", "mongod", "redis-server")

WITHOUT_LIMITS = {
    "YZ_CONSULT_REPLIES": "1000000000",
    "YZ_PATIENT_BURST": "1000000000",
    "YZ_CONVERSATION_MAX": "1000000000",
    "YZ_MESSAGE_RATE": "1000000/s",
    "YZ_HTTP_RATE": "1000000/s",
    "YZ_SMS_PER_ADDRESS": "1000000/s",
    "YZ_SMS_PER_PHONE": "1000000/s",
    "YZ_LOG_LEVEL": "warning",
}


@dataclass(frozen=True, slots=True)
class Running:
    """A product that is up; `processes` by the word in their command line."""

    host: str
    port: int
    demo: Mapping[str, Any]
    processes: Mapping[str, psutil.Process]


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time so far, as the operating system counts it."""
    times = process.cpu_times()
    return float(times.user + times.system)


def pin(process: psutil.Process, core: int) -> None:
    """Keep a process and its threads on one core. Does nothing where there is only one."""
    if (psutil.cpu_count() or 1) < 2:
        return
    for thread in [process.pid, *(t.id for t in process.threads())]:
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(thread, {core})


def pin_ourselves() -> None:
    pin(psutil.Process(), _OTHER_CORE)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def running_product(
    folder: Path, port: int, sim_port: int, people: int, *, processes: int = 1, **settings: str
) -> AsyncIterator[Running]:
    """`yunzhen run` in a folder of its own: the server alone on core 0, all else with the load on core 1. Several processes of
    the server (`serve-2` and so on) share core 0, so that a message costs them what it would cost on cores of their own."""
    environment = {
        **os.environ,
        **WITHOUT_LIMITS,
        **settings,
        "YZ_DATA_DIR": str(folder),
        "YZ_PORT": str(port),
        "YZ_SIM_PORT": str(sim_port),
        "YZ_PROCESSES": str(processes),
        "YZ_DEMO_DOCTORS": str(people),
        "YZ_DEMO_PATIENTS": str(people),
    }
    command = Path(sys.executable).parent / "yunzhen"
    process = await asyncio.create_subprocess_exec(str(command), "run", env=environment, stdout=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(_READY_SECONDS):
            await _until_ready(process)
        found: dict[str, psutil.Process] = {}
        for word, part in _parts(process.pid):
            found[word if word not in found else f"{word}-{sum(name.startswith(word) for name in found) + 1}"] = part
        pin_ourselves()
        for word, part in found.items():
            pin(part, _SERVER_CORE if word.startswith("serve") else _OTHER_CORE)
        demo = json.loads((folder / "demo.json").read_text())
        yield Running("127.0.0.1", port, demo, found)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def _until_ready(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    said = []
    async for line in process.stdout:
        if line.strip() == b"ready":
            return
        said.append(line.decode(errors="replace"))
    raise RuntimeError("the product ended before it was ready\n" + "".join(said[-20:]))


def _parts(supervisor: int) -> Iterable[tuple[str, psutil.Process]]:
    for child in psutil.Process(supervisor).children(recursive=True):
        for argument in child.cmdline():
            if (word := Path(argument).name) in PARTS:
                yield word, child
                break


# --- people who may talk ---


async def make_pairs(running: Running, count: int) -> list[Pair]:
    """Paid orders, over the real wire: codes by SMS, consent, the wallet, the gateway's callback."""
    base = f"{running.demo['base_url']}/api/v1"
    gate = asyncio.Semaphore(_AT_ONCE)
    async with aiohttp.ClientSession() as http:
        setup = _Setup(http, base, running.demo["simulators_url"])

        async def one(patient: Mapping[str, str], doctor: Mapping[str, str]) -> Pair:
            async with gate:
                return await setup.pair(patient["phone"], doctor["phone"], doctor["doctor_id"])

        people: Sequence[Any] = list(zip(running.demo["patients"], running.demo["doctors"], strict=False))[:count]
        return list(await asyncio.gather(*(one(patient, doctor) for patient, doctor in people)))


class _Setup:
    def __init__(self, http: aiohttp.ClientSession, base: str, simulators: str) -> None:
        self._http = http
        self._base = base
        self._simulators = simulators

    async def pair(self, patient_phone: str, doctor_phone: str, doctor_id: str) -> Pair:
        patient = await self._sign_in("patient", patient_phone)
        doctor = await self._sign_in("doctor", doctor_phone)
        record = (await self._call("GET", "/patients", patient))["items"][0]
        consent = await self._call("GET", "/consents/consult", patient)
        order = await self._call(
            "POST",
            "/orders",
            patient,
            {
                "doctor_id": doctor_id,
                "patient_id": record["id"],
                "kind": "consult",
                "complaint": "反复咳嗽两周，夜间加重，无发热。",
                "image_ids": [],
                "consent": {"version": consent["version"], "sha256": consent["sha256"], "record_access": False},
            },
        )
        payment = await self._call("POST", f"/orders/{order['id']}/payments", patient, {"channel": "wechat_h5"})
        async with self._http.post(f"{self._simulators}/wechatpay/wallet/{payment['prepay_id']}/pay") as answer:
            answer.raise_for_status()
        async with asyncio.timeout(30):
            while (await self._call("GET", f"/orders/{order['id']}", patient))["status"] != "awaiting_doctor":
                await asyncio.sleep(0.05)
        return Pair(order["conversation_id"], patient, doctor)

    async def _sign_in(self, role: str, phone: str) -> str:
        await self._call("POST", "/auth/sms-codes", None, {"phone": phone, "purpose": "login"})
        async with asyncio.timeout(30):
            while True:
                async with self._http.get(f"{self._simulators}/sms/messages", params={"phone": phone}) as answer:
                    if messages := await answer.json():
                        break
                await asyncio.sleep(0.05)
        code = messages[0]["params"]["code"]
        body = {"phone": phone, "code": code, "device_id": uuid.uuid4().hex, "device_name": "bench"}
        return str((await self._call("POST", f"/auth/{role}/sessions", None, body))["access_token"])

    async def _call(self, method: str, path: str, token: str | None, body: Any = None) -> Any:
        headers = {} if token is None else {"Authorization": f"Bearer {token}", "Idempotency-Key": uuid.uuid4().hex}
        async with self._http.request(method, self._base + path, json=body, headers=headers) as answer:
            if answer.status >= 400:
                raise RuntimeError(f"{method} {path}: {answer.status} {await answer.text()}")
            return await answer.json()
