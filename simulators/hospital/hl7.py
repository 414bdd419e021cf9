"""The hospital's other voice: HL7 v2 over MLLP, as its laboratory, ward and registration send it; and broken messages."""

import asyncio
import base64
import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from simulators.hospital.catalogue import PANELS, TESTS
from simulators.hospital.people import Person
from simulators.hospital.results import flag_of, limits

_SHANGHAI: Final = timezone(timedelta(hours=8))
_START: Final = b"\x0b"
_END: Final = b"\x1c\r"
_MOST_ANSWER: Final = 1024 * 1024
_ANSWER_SECONDS: Final = 10.0
_HUGE_BYTES: Final = 64 * 1024 * 1024
_CHARSETS: Final = {"utf-8": "UNICODE UTF-8", "gb18030": "GB 18030-2000"}


class Kind(StrEnum):
    """RESULT: ORU^R01. DOCUMENT, CDA: MDM^T02 with text, or with a CDA document. The others are ADT."""

    RESULT = "result"
    DOCUMENT = "document"
    CDA = "cda"
    ADMIT = "admit"
    REGISTER = "register"
    UPDATE = "update"
    MERGE = "merge"


class Fault(StrEnum):
    NONE = "none"
    NO_HEADER = "no_header"
    WRONG_SEPARATORS = "wrong_separators"
    NO_IDENTITY = "no_identity"
    OTHER_BIRTH_DATE = "other_birth_date"
    WRONG_CHARSET = "wrong_charset"
    UNKNOWN_TYPE = "unknown_type"
    TWICE = "twice"
    HUGE = "huge"
    TORN = "torn"
    """The connection ends in the middle of the message."""


class Sending(BaseModel):
    """What to send of whom. `values` by the catalogue's key (`K`, `NA`, `GLU`, `HGB`, `PLT`): what is not named is healthy."""

    model_config = ConfigDict(extra="forbid")

    number: str = Field(max_length=18)
    name: str = Field(default="", max_length=64)
    kind: Kind = Kind.RESULT
    panel: str = "kidney"
    values: dict[str, float] = Field(default_factory=dict, max_length=100)
    text: str = Field(default="", max_length=100_000)
    charset: str = Field(default="utf-8", pattern="^(utf-8|gb18030)$")
    control_id: str = Field(default="", max_length=100)
    old_number: str = Field(default="", max_length=40)
    status: str = Field(default="F", pattern="^[A-Z]$")
    fault: Fault = Fault.NONE
    port: int | None = Field(default=None, ge=1, le=65_535)


_TRIGGERS: Final[Mapping[Kind, str]] = {
    Kind.RESULT: "ORU^R01",
    Kind.DOCUMENT: "MDM^T02",
    Kind.CDA: "MDM^T02",
    Kind.ADMIT: "ADT^A01",
    Kind.REGISTER: "ADT^A04",
    Kind.UPDATE: "ADT^A08",
    Kind.MERGE: "ADT^A40",
}


def message_of(sending: Sending, person: Person, control_id: str, now: datetime) -> bytes:
    """The message as bytes, broken as wanted."""
    trigger = "ZZZ^Z01" if sending.fault is Fault.UNKNOWN_TYPE else _TRIGGERS[sending.kind]
    stamp = _stamp(now)
    separators = "^^\\&" if sending.fault is Fault.WRONG_SEPARATORS else "^~\\&"
    system = "LIS" if sending.kind is Kind.RESULT else "EMR" if sending.kind in (Kind.DOCUMENT, Kind.CDA) else "HIS"
    header = (
        f"MSH|{separators}|{system}|示范医院|YUNZHEN||{stamp}||{trigger}|{control_id}|P|2.4||||||{_CHARSETS[sending.charset]}"
    )
    lines = [header, *_body(sending, person, now, control_id)]
    if sending.fault is Fault.NO_HEADER:
        lines = lines[1:]
    if sending.fault is Fault.HUGE:
        lines.append("NTE|1||" + "大" * (_HUGE_BYTES // 3))
    wrong = {"utf-8": "gb18030", "gb18030": "utf-8"}
    charset = wrong[sending.charset] if sending.fault is Fault.WRONG_CHARSET else sending.charset
    return ("\r".join(lines) + "\r").encode(charset)


def _body(sending: Sending, person: Person, now: datetime, control_id: str) -> list[str]:
    pid = _pid(sending, person)
    match sending.kind:
        case Kind.RESULT:
            return [pid, *_results(sending, person, now, control_id)]
        case Kind.DOCUMENT:
            text = escape(sending.text or "【主诉】胸闷3天。\n【处理意见】完善检查，随诊。")
            return [pid, _txa(now, control_id), f"OBX|1|TX|11488-4^会诊记录^LN||{text}||||||F"]
        case Kind.CDA:
            data = base64.b64encode(sending.text.encode()).decode()
            return [pid, _txa(now, control_id), f"OBX|1|ED|11488-4^会诊记录^LN||^TEXT^XML^Base64^{data}||||||F"]
        case Kind.MERGE:
            return [f"EVN|A40|{_stamp(now)}", pid, f"MRG|{escape(sending.old_number)}^^^HIS^MR"]
        case _:
            return [f"EVN||{_stamp(now)}", pid, "PV1|1|O|心内科^^^示范医院"]


def _pid(sending: Sending, person: Person) -> str:
    born = person.birth_date + timedelta(days=1) if sending.fault is Fault.OTHER_BIRTH_DATE else person.birth_date
    told = person.is_stated
    identity = "" if sending.fault is Fault.NO_IDENTITY else f"~{person.number}^^^^{'NI' if told else 'PPN'}"
    card = f"X{person.mrn}" if sending.fault is Fault.NO_IDENTITY else person.mrn
    facts = f"{born:%Y%m%d}|{'M' if person.male else 'F'}" if told else "|"
    return f"PID|1||{card}^^^HIS^MR{identity}||{escape(sending.name)}||{facts}"


def _txa(now: datetime, control_id: str) -> str:
    return f"TXA|1|11488-4^会诊记录^LN|TX|{_stamp(now)}|||||D001^王^慧敏|||DOC{control_id}||||||AU"


def _results(sending: Sending, person: Person, now: datetime, control_id: str) -> list[str]:
    panel = PANELS[sending.panel]
    at = _stamp(now - timedelta(minutes=20))
    lines = [
        f"OBR|1|P{control_id}|L{control_id}^LIS|{panel.loinc}^{escape(panel.title)}^LN|||{at}|||||||{at}"
        f"|{escape(panel.specimen)}|||||||||LAB|{sending.status}"
    ]
    for key in panel.tests:
        if key not in TESTS:
            continue
        test = TESTS[key]
        value = round(sending.values.get(key, test.healthy(male=person.male)), test.digits)
        low, high = limits(person, key, now)
        words = (
            f"{low:g}-{high:g}" if low is not None and high is not None else f"<{high:g}" if high is not None else f">{low:g}"
        )
        flag = flag_of(person, key, value, now) or "N"
        unit = escape(test.unit.replace("10*", "10^"))
        lines.append(
            f"OBX|{len(lines)}|NM|{test.loinc}^{escape(test.name)}^LN||{value:.{test.digits}f}|{unit}|{words}|{flag}"
            f"|||{sending.status}|||{at}"
        )
    return lines


def escape(text: str) -> str:
    for character, name in (("\\", "\0"), ("|", "\\F\\"), ("^", "\\S\\"), ("~", "\\R\\"), ("&", "\\T\\"), ("\n", "\\.br\\")):
        text = text.replace(character, name)
    return text.replace("\0", "\\E\\").replace("\r", "")


def _stamp(at: datetime) -> str:
    return at.astimezone(_SHANGHAI).strftime("%Y%m%d%H%M%S")


async def send(port: int, message: bytes, fault: Fault) -> list[str]:
    """Send it to this machine's MLLP port, as the fault wants; the segments of the last answer, none where none came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        if fault is Fault.TORN:
            writer.write(_START + message[: len(message) // 2])
            await writer.drain()
            return []
        for _ in range(2 if fault is Fault.TWICE else 1):
            with contextlib.suppress(ConnectionError):
                writer.write(_START + message + _END)
                await writer.drain()
            async with asyncio.timeout(_ANSWER_SECONDS):
                answer = await _answer(reader)
    except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
        return []
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return _segments(answer)


async def _answer(reader: asyncio.StreamReader) -> bytes:
    data = b""
    while not data.endswith(_END) and len(data) < _MOST_ANSWER:
        part = await reader.read(65_536)
        if not part:
            raise asyncio.IncompleteReadError(data, None)
        data += part
    return data


def _segments(answer: bytes) -> list[str]:
    charset = "gb18030" if b"GB 18030" in answer else "utf-8"
    return [line for line in answer.strip(_START + _END).decode(charset, errors="replace").split("\r") if line]


def verdict_of(segments: Sequence[str]) -> dict[str, str]:
    """`{code, control_id, reason}` of an answer's MSA."""
    for segment in segments:
        if segment.startswith("MSA|"):
            fields = [*segment.split("|"), "", "", ""]
            return {"code": fields[1], "control_id": fields[2], "reason": fields[3]}
    return {"code": "", "control_id": "", "reason": ""}
