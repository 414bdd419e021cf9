"""The process that plays the outside world."""

import asyncio
import signal

from aiohttp import web

from server.app.notify import notify_ready
from server.app.settings import Settings
from simulators.app import build_app
from simulators.config import SimulatorConfig


async def simulate_until_stopped(settings: Settings) -> int:
    """Serve the simulators on loopback until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    config = SimulatorConfig(
        data_dir=settings.data_dir,
        port=settings.sim_port,
        server_url=settings.public_url,
        hl7_port=settings.hl7_port,
        callback_retry_scale=settings.sim_callback_retry_scale,
    )
    runner = web.AppRunner(build_app(config), access_log=None, shutdown_timeout=0.4)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", settings.sim_port).start()
    notify_ready()
    await stop.wait()
    await runner.cleanup()
    return 0
