"""`yunzhen run`, the way an operator meets it: its processes, their deaths, and its end."""

import asyncio
import os
import signal
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.functional.conftest import Product
from tests.support.product import ROOT, YUNZHEN, settings_of, start_product

_PARTS = ("serve", "keeper", "worker", "beat", "simulators")
_DATABASES = ("mongod", "redis-server")


async def _status(url: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status


async def _until_ready(product: Product) -> None:
    """Whatever just died, the server says again that all is in order."""
    async with asyncio.timeout(30):
        while True:
            try:
                if await _status(f"{product.base_url}/readyz") == 200:
                    return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)


async def _until_back(product: Product, word: str, killed: int) -> None:
    async with asyncio.timeout(30):
        while not [p for p in product.processes(word) if p.pid != killed]:
            await asyncio.sleep(0.05)


def _everything(product: Product) -> list[psutil.Process]:
    supervisor = psutil.Process(product.child.pid)
    return [supervisor, *supervisor.children(recursive=True)]


def _alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    _, alive = psutil.wait_procs(processes, timeout=5)
    return [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]


async def test_each_part_is_a_process_that_says_what_it_is(product: Product) -> None:
    for word in (*_PARTS, *_DATABASES):
        assert product.processes(word), word
    supervisor = psutil.Process(product.child.pid).cmdline()
    assert supervisor[-1] == "run"
    assert {Path(each).name for each in supervisor} & {*_PARTS, *_DATABASES} == set()


async def test_it_says_where_everything_is_and_who_can_sign_in(product: Product) -> None:
    lines = product.output.splitlines()
    assert f"server      {product.base_url}" in lines
    assert f"simulators  {product.simulators_url}" in lines
    assert lines[-1] == "ready" or "ready" in lines
    demo = product.demo
    assert (demo["base_url"], demo["simulators_url"]) == (product.base_url, product.simulators_url)
    assert (len(demo["doctors"]), len(demo["patients"])) == (12, 8)
    assert await _status(f"{product.base_url}/readyz") == 200
    assert await _status(f"{product.base_url}/healthz") == 200


async def test_a_subcommand_uses_the_databases_that_run(product: Product) -> None:
    code, output = await product.yunzhen("check")
    assert code == 0, output


async def test_a_second_one_in_the_same_folder_is_refused(product: Product) -> None:
    environment = settings_of(product.data_dir)
    process = await asyncio.create_subprocess_exec(
        *YUNZHEN, "run", cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 1
    assert f"is in use by process {product.child.pid}" in output.decode()


@pytest.mark.slow
async def test_whatever_is_killed_comes_back_and_ctrl_c_ends_all_of_it(tmp_path: Path) -> None:
    product = await start_product(tmp_path / "var")
    try:
        for word in (*_PARTS, *_DATABASES):
            killed = product.processes(word)[0].pid
            os.kill(killed, signal.SIGKILL)
            await _until_back(product, word, killed)
            await _until_ready(product)
            assert f"(pid {killed}) died (signal SIGKILL)" in product.output
        everything = _everything(product)
    finally:
        code, seconds = await product.stop()
    assert code == 0
    assert seconds < 10
    assert _alive(everything) == []


@pytest.mark.slow
async def test_a_folder_is_taken_up_where_it_was_left_and_nothing_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    product = await start_product(tmp_path / "var", YZ_DEMO_DOCTORS="2", YZ_DEMO_PATIENTS="1")
    people = product.demo
    await product.stop(signal.SIGTERM)
    again = await start_product(tmp_path / "var")
    assert again.demo == people | {"base_url": again.base_url, "simulators_url": again.simulators_url}
    everything = _everything(again)
    os.kill(again.child.pid, signal.SIGKILL)
    await again.child.wait()
    assert _alive(everything) == []
    third = await start_product(tmp_path / "var")
    assert third.demo["staff"] == people["staff"]
    await third.stop()
