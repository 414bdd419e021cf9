"""How soon a doctor sees records, in the running product: the list, the first page, the pages after it.

`python -m bench records [--people N]`: starts a product of its own, each pair of people with an order. Milliseconds by the wall
clock, as the doctor's client sees them, so what else runs on the machine counts; and of processor time, so that it does not.
Charts are cold: no patient was asked for before.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp

from bench.product import Running, cpu_seconds, running_product
from examples.consult import Person, order_and_pay, sign_in
from server.app.processes import free_port

_PAGES = 5


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--people", type=int, default=12)
    people = max(2, arguments.parse_args().people)
    print(json.dumps(asyncio.run(measured(people)), indent=2))


async def measured(people: int) -> dict[str, Any]:
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="yunzhen-bench-") as folder:
        async with running_product(Path(folder) / "var", port, free_port(taken=[port]), people) as running:
            return await _looks(running, people)


async def _looks(running: Running, people: int) -> dict[str, Any]:
    times: dict[str, list[float]] = {"list": [], "first page": [], "list and first page": [], "later pages": []}
    cores: dict[str, list[float]] = {}
    async with aiohttp.ClientSession() as http:
        for number in range(people):
            doctor, order_id = await _pair(http, running.demo, number)
            spent = _spent(running)
            began = time.perf_counter()
            records = (await doctor.call("GET", f"/orders/{order_id}/records"))["items"]
            listed = time.perf_counter()
            spent_listed = _spent(running)
            await _page(doctor, order_id, records[0])
            shown = time.perf_counter()
            for name, (one, two, three) in {
                part: (spent[part], spent_listed[part], after) for part, after in _spent(running).items()
            }.items():
                cores.setdefault(f"list, {name}", []).append(two - one)
                cores.setdefault(f"first page, {name}", []).append(three - two)
            times["list"].append(listed - began)
            times["first page"].append(shown - listed)
            times["list and first page"].append(shown - began)
            for record in [r for r in records if r["kind"] != "imaging"][1 : 1 + _PAGES]:
                began = time.perf_counter()
                await _page(doctor, order_id, record)
                times["later pages"].append(time.perf_counter() - began)
            await doctor.socket.disconnect()
    first = {name: round(values[0] * 1000, 1) for name, values in times.items()}
    warm = {name: _figures(values[1:]) for name, values in times.items()}
    processor = {name: _figures(values[1:]) for name, values in cores.items()}
    return {"unit": "ms", "orders": people, "right after the start": first, "then": warm, "of one core": processor}


def _spent(running: Running) -> dict[str, float]:
    """Processor seconds so far: the server, the drawing processes below it, the simulated hospital."""
    server = running.processes["serve"]
    painters = [child for child in server.children(recursive=True) if "ehr_view.worker" in child.cmdline()]
    return {
        "server": cpu_seconds(server),
        "drawing": sum(cpu_seconds(child) for child in painters),
        "hospital": cpu_seconds(running.processes["simulators"]),
    }


def _figures(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(value * 1000 for value in values)
    return {
        "p50": round(ordered[len(ordered) // 2], 1),
        "p90": round(ordered[len(ordered) * 9 // 10], 1),
        "max": round(ordered[-1], 1),
    }


async def _pair(http: aiohttp.ClientSession, demo: Any, number: int) -> tuple[Person, str]:
    patient = await sign_in(http, demo, "patient", demo["patients"][number]["phone"])
    doctor = await sign_in(http, demo, "doctor", demo["doctors"][number]["phone"])
    patient_id = (await patient.call("GET", "/patients"))["items"][0]["id"]
    order = await order_and_pay(patient, demo, patient_id, demo["doctors"][number]["doctor_id"], [])
    await patient.socket.disconnect()
    return doctor, order["id"]


async def _page(doctor: Person, order_id: str, record: Any) -> None:
    status, content = await doctor.request("GET", f"/orders/{order_id}/records/{record['record_id']}/pages/1")
    if status != 200:
        raise RuntimeError(f"a page was not shown: {content}")


if __name__ == "__main__":
    main()
