"""A process that appends to one conversation until it is killed, and says on its standard output what was acknowledged.

`python -m tests.support.im_writer <url> <database> <conversation> <name>`
"""

import asyncio
import sys

from server.kernel.mongo import connect, database
from tests.support.clock import ManualClock
from tests.support.im_log import PATIENT, Openings, actor, make_log, say


async def main(url: str, name: str, conversation: str, writer: str) -> None:
    log = make_log(database(connect(url), name), Openings(conversation, quota=0), ManualClock())
    for n in range(1_000_000):
        client_id = f"{writer}-{n:08}"
        appended = await log.send(actor(PATIENT), conversation, say(PATIENT, "你好", client_id))
        print(appended.entry.seq, client_id, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
