"""Messages as a hospital's systems send them, a sender for them, and an intake to send them to."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from ssl import SSLContext, SSLError

from ehr_view.hl7.mllp import MllpLimits, MllpServer, frame, networks_of
from ehr_view.hl7.mongo import INDEXES, MongoHeldRecords, MongoMessages
from ehr_view.hl7.ports import Critical
from ehr_view.hl7.service import Intake
from server.kernel.audit import INDEXES as AUDIT_INDEXES
from server.kernel.audit import AuditLog
from server.kernel.crypto import Keyring, MasterKey
from server.kernel.mongo import Database
from tests.support.clock import ManualClock
from tests.support.indexes import make_indexes

NUMBER = "110105196602150023"
NAME = "唐玉兰"
PID = f"PID|1||M00012345^^^HIS^MR~{NUMBER}^^^^NI||唐^玉兰||19660215|F"
OBR = "OBR|1|O77|L20261122001^LIS|24362-6^肾功能四项+电解质^LN|||20261122083000|||||||20261122084500|血清|||||||||LAB|F"
POTASSIUM = "OBX|1|NM|2823-3^钾^LN||6.8|mmol/L|3.5-5.3|HH|||F|||20261122083000"
_PATIENCE_SECONDS = 120
"""What does not come at all; a machine that is busy with other things may take long."""

SODIUM = "OBX|2|NM|2951-2^钠^LN||140.0|mmol/L|137-147|N|||F"


def header(
    kind: str = "ORU^R01",
    *,
    control: str = "MSG00001",
    charset: str = "UNICODE UTF-8",
    at: str = "20261122090000",
    mode: str = "P",
) -> str:
    return f"MSH|^~\\&|LIS|示范医院|YUNZHEN|YZ|{at}||{kind}|{control}|{mode}|2.4||||||{charset}"


def message(*segments: str, charset: str = "utf-8") -> bytes:
    return ("\r".join(segments) + "\r").encode(charset)


def result(*, control: str = "MSG00001", at: str = "20261122090000", lines: Sequence[str] = (POTASSIUM, SODIUM)) -> bytes:
    return message(header(control=control, at=at), PID, OBR, *lines)


@dataclass
class Sender:
    """A system of the hospital, connected."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> list[list[str]]:
        """Send a message; the answer's segments, each split at its bars."""
        self.writer.write(frame(data))
        return await self.answer()

    async def answer(self) -> list[list[str]]:
        answer = await asyncio.wait_for(self.reader.readuntil(b"\x1c\r"), _PATIENCE_SECONDS)
        text = answer[1:-2].decode("gb18030" if b"|GB 18030-2000" in answer else "utf-8")
        return [line.split("|") for line in text.split("\r") if line]

    async def at_end(self) -> bool:
        return await asyncio.wait_for(self.reader.read(), _PATIENCE_SECONDS) == b""


def verdict(answer: list[list[str]]) -> tuple[str, ...]:
    """`("AA", "MSG00001")`, or with the reason behind it."""
    return tuple(answer[1][1:])


@asynccontextmanager
async def connected(port: int, address: str = "127.0.0.1", *, tls: SSLContext | None = None) -> AsyncIterator[Sender]:
    """From this address of the machine."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0), ssl=tls)
    try:
        yield Sender(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError, SSLError):
            await writer.wait_closed()


@dataclass
class Hl7World:
    intake: Intake
    messages: MongoMessages
    records: MongoHeldRecords
    port: int
    database: Database


@asynccontextmanager
async def intake_world(
    database: Database,
    clock: ManualClock,
    *,
    critical: Critical | None = None,
    limits: MllpLimits | None = None,
    allowed: str = "127.0.0.0/8",
    most_failed: int = 1_000,
    tls: SSLContext | None = None,
) -> AsyncIterator[Hl7World]:
    await make_indexes(database, INDEXES, AUDIT_INDEXES)
    keyring = Keyring(MasterKey(bytes(32)), database)
    messages = MongoMessages(database, keyring, kept=timedelta(days=30), most_failed=most_failed)
    records = MongoHeldRecords(database, keyring)
    audit = AuditLog(database)
    intake = Intake(hospital_id="default", messages=messages, records=records, critical=critical, audit=audit, clock=clock)
    server = MllpServer(intake, allowed=networks_of(allowed), limits=limits, tls=tls)
    port = await server.start("127.0.0.1", 0)
    try:
        yield Hl7World(intake, messages, records, port, database)
    finally:
        await server.close()
        await audit.close()
