"""Many results at once on one connection, and forms of one report on several: told, answered in order, the newest kept."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import monitoring
from pymongo.errors import AutoReconnect

from ehr_view.domain.records import LabReport
from ehr_view.hl7.domain import HeldRecord, Identity, PersonFacts, Standing, Version
from ehr_view.hl7.mllp import frame
from ehr_view.hl7.pipeline import AT_ONCE
from ehr_view.hl7.ports import Critical
from server.kernel.mongo import Database
from tests.support.clock import ManualClock
from tests.support.contract import identity_number
from tests.support.critical import NOW, CriticalWorld, critical_world
from tests.support.hl7 import (
    NUMBER,
    OBR,
    PID,
    POTASSIUM,
    Sender,
    connected,
    header,
    message,
    verdict,
)

pytestmark = [pytest.mark.stress, pytest.mark.timeout(300)]

RESULTS = 90
MOST_COMMANDS = 19
"""To the database for one critical result, until everybody is told: what a message costs must not depend on how many come."""


class Commands(monitoring.CommandListener):
    """Counts what is asked of the database."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.counted[event.command_name] += 1

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


COMMANDS = Commands()
monitoring.register(COMMANDS)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
async def world(database: Database, clock: ManualClock) -> AsyncIterator[CriticalWorld]:
    async with critical_world(database, clock) as found:
        found.service.people = Everybody(found)
        yield found


class Everybody:
    """The same people for every patient."""

    def __init__(self, world: CriticalWorld) -> None:
        self._world = world

    async def find_people(self, hospital_id: str, identity: Identity, names: tuple[str, ...]) -> Any:
        return self._world.people


def of_patient(n: int, *, control: str, value: str = "6.8", report: str = "") -> bytes:
    """A potassium of the n-th patient, as `value`."""
    number = identity_number(date(1966, 2, 15), 2 * n)
    pid = f"PID|1||M{n:08d}^^^HIS^MR~{number}^^^^NI||唐^玉兰||19660215|F"
    obr = OBR.replace("L20261122001", report or f"L{n}")
    return message(header(control=control), pid, obr, POTASSIUM.replace("6.8", value))


async def answers(sender: Sender, count: int) -> list[tuple[str, ...]]:
    return [verdict(await sender.answer()) for _ in range(count)]


async def held_values(world: CriticalWorld, n: int) -> list[str]:
    found = await world.hl7.records.list_of("default", Identity("resident", identity_number(date(1966, 2, 15), 2 * n)))
    return [i.value for each in found if isinstance(each.record.content, LabReport) for i in each.record.content.items]


async def test_ninety_critical_results_at_once_are_each_answered_and_told_at_the_price_of_one(world: CriticalWorld) -> None:
    async with connected(world.hl7.port) as sender:
        COMMANDS.counted.clear()
        sender.writer.write(b"".join(frame(of_patient(n, control=f"C{n}")) for n in range(RESULTS)))
        assert await answers(sender, RESULTS) == [("AA", f"C{n}") for n in range(RESULTS)]
        await world.relay.close()
        assert COMMANDS.counted.total() <= MOST_COMMANDS * RESULTS
        assert await world.hl7.database["held_records"].count_documents({"hospital_id": "default"}) == RESULTS
    assert world.did() == ["notice"] * RESULTS
    assert len({value_id for _, value_id in world.asked}) == RESULTS
    assert [value["status"] for value in await world.values()] == ["told"] * RESULTS


async def test_no_message_waits_for_another_patients_and_each_for_its_own(
    world: CriticalWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first patient's record is not stored before as many others' as may be under way. His second never overtakes it."""
    others, begun = asyncio.Event(), list[str]()
    put = world.hl7.records.put

    async def gated(hospital_id: str, identity: Identity, held: HeldRecord, version: Version, **more: Any) -> bool:
        assert isinstance(held.record.content, LabReport)
        begun.append(held.record.content.items[0].value)
        if held.record.content.items[0].value == "0.0":
            await others.wait()
        elif sum(value.startswith("9") for value in begun) == AT_ONCE - 2:
            others.set()
        return await put(hospital_id, identity, held, version, **more)

    monkeypatch.setattr(world.hl7.records, "put", gated)
    first, second = of_patient(0, control="A", value="0.0"), of_patient(0, control="B", value="1.0")
    rest = [of_patient(n, control=f"C{n}", value=f"9.{n}") for n in range(1, 40)]
    async with connected(world.hl7.port) as sender:
        sender.writer.write(b"".join(map(frame, (first, second, *rest))))
        got = await answers(sender, 41)
    assert got == [("AA", "A"), ("AA", "B"), *[("AA", f"C{n}") for n in range(1, 40)]]
    assert begun.index("0.0") < begun.index("1.0")
    assert begun.index("1.0") > AT_ONCE - 2
    assert await held_values(world, 0) == ["1.0"]


async def test_of_each_patient_what_came_last_is_held_though_all_say_the_same_second(world: CriticalWorld) -> None:
    sent = [(n % 3, f"{n // 10}.{n % 10}") for n in range(60)]
    async with connected(world.hl7.port) as sender:
        sender.writer.write(
            b"".join(frame(of_patient(who, control=f"C{n}", value=value)) for n, (who, value) in enumerate(sent))
        )
        assert await answers(sender, 60) == [("AA", f"C{n}") for n in range(60)]
    assert [await held_values(world, who) for who in range(3)] == [["5.7"], ["5.8"], ["5.9"]]


async def test_what_cannot_be_stored_is_not_answered_nor_is_anything_after_it(
    world: CriticalWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = world.hl7.records.put

    async def broken(hospital_id: str, identity: Identity, held: HeldRecord, version: Version, **more: Any) -> bool:
        if isinstance(held.record.content, LabReport) and held.record.content.items[0].value == "3.3":
            raise AutoReconnect("gone")
        return await put(hospital_id, identity, held, version, **more)

    monkeypatch.setattr(world.hl7.records, "put", broken)
    values = ["1.1", "2.2", "3.3", "4.4"]
    messages = [of_patient(n // 2, control=f"C{n}", value=value) for n, value in enumerate(values)]
    async with connected(world.hl7.port) as sender:
        sender.writer.write(b"".join(map(frame, messages)))
        assert await answers(sender, 2) == [("AA", "C0"), ("AA", "C1")]
        assert await sender.at_end()
    assert await held_values(world, 1) == []  # the next of the same patient was not looked at
    monkeypatch.undo()
    async with connected(world.hl7.port) as sender:
        sender.writer.write(b"".join(map(frame, messages)))
        assert await answers(sender, 4) == [("AA", f"C{n}") for n in range(4)]
    assert [await held_values(world, who) for who in range(2)] == [["2.2"], ["4.4"]]


# Forms of one report

AT = datetime(2026, 11, 22, 0, 0, tzinfo=UTC)
FORMS = st.builds(
    Version,
    st.integers(0, 2).map(lambda n: AT + timedelta(minutes=n)),
    st.sampled_from(Standing),
    st.integers(0, 2).map(lambda n: AT + timedelta(hours=1, seconds=n)),
)


@given(forms=st.lists(FORMS, min_size=2, max_size=6, unique=True))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_the_order_of_their_writes_the_newest_form_is_held(world: CriticalWorld, forms: list[Version]) -> None:
    records, tang = world.hl7.records, Identity("resident", NUMBER)
    person = PersonFacts(tang, ())
    found = await _record(world)
    await world.hl7.database["held_records"].delete_many({"hospital_id": "default"})

    async def store(version: Version) -> bool:
        record = replace(found, title=version.text)
        return await records.put("default", tang, HeldRecord(record, person), version, withdrawn=False)

    done = await asyncio.gather(*map(store, forms))
    newest = max(forms)
    assert done[forms.index(newest)]
    form = await records.find_form("default", found.id)
    assert form is not None
    assert (form.version, form.held.record.title) == (newest.text, newest.text)


async def _record(world: CriticalWorld) -> Any:
    async with connected(world.hl7.port) as sender:
        assert verdict(await sender.send(message(header(control="R"), PID, OBR, POTASSIUM)))[0] == "AA"
    (held,) = await world.hl7.records.list_of("default", Identity("resident", NUMBER))
    return held.record


def _form(
    control: str, *, critical: bool, at: str = "0900", changed: str = "0845", status: str = "F", result: str = "F"
) -> bytes:
    """A potassium that is critical or is not. `status` is OBR-25, `result` OBX-11, `changed` OBR-22."""
    order = OBR.replace("血清|||||||||LAB|F", f"血清|||||||20261122{changed}||LAB|{status}")
    value, flag = ("6.8", "HH") if critical else ("4.8", "N")
    line = f"OBX|1|NM|2823-3^钾^LN||{value}|mmol/L|3.5-5.3|{flag}|||{result}"
    return message(header(control=control, at=f"20261122{at}00"), PID, order, line)


PAIRS = {
    "corrected to normal": (_form("F", critical=True), _form("C", critical=False, changed="0855", status="C")),
    "corrected to critical": (_form("F", critical=False), _form("C", critical=True, changed="0855", status="C")),
    "the first sent again later": (
        _form("F", critical=True, at="0930"),
        _form("C", critical=False, changed="0855", status="C"),
    ),
    "changed at one instant": (_form("F", critical=True, at="0930"), _form("C", critical=False, status="C")),
    "only the results say so": (_form("F", critical=True, at="0930"), _form("C", critical=False, result="C")),
    "a day is no instant": (_form("F", critical=True, changed=""), _form("C", critical=False, changed="", at="0901")),
    "one second": (_form("F", critical=True, changed=""), _form("C", critical=False, changed="", status="C")),
    "cancelled": (_form("F", critical=True), _form("C", critical=True, changed="0855", status="X")),
}
"""A form and the newer one: what is normal at last must not stay an alarm, and what is critical must be one."""


@dataclass
class Paused:
    """Implements `Critical`: the first that comes waits for `released`."""

    critical: Critical
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def consider(self, *args: Any, **more: Any) -> bool:
        if not self.reached.is_set():
            self.reached.set()
            await self.released.wait()
        return await self.critical.consider(*args, **more)


async def _stands_as(world: CriticalWorld, pair: str) -> None:
    await world.relay.close()
    critical = pair == "corrected to critical"
    held = await world.hl7.records.list_of("default", Identity("resident", NUMBER))
    values = [i.value for each in held if isinstance(each.record.content, LabReport) for i in each.record.content.items]
    assert values == ([] if pair == "cancelled" else ["6.8"] if critical else ["4.8"])
    statuses = [value["status"] for value in await world.values()]
    assert [status for status in statuses if status != "withdrawn"] == (["told"] if critical else [])


@pytest.mark.parametrize("pair", PAIRS)
async def test_a_correction_that_overtakes_the_look_at_the_result_has_the_last_word(
    world: CriticalWorld, monkeypatch: pytest.MonkeyPatch, pair: str
) -> None:
    """The result is stored and about to be considered; its correction comes on another connection and is done with; then the
    result goes on."""
    older, newer = PAIRS[pair]
    paused = Paused(world.service)
    monkeypatch.setattr(world.hl7.intake, "_critical", paused)
    async with connected(world.hl7.port) as one, connected(world.hl7.port) as other:
        one.writer.write(frame(older))
        await paused.reached.wait()
        assert verdict(await other.send(newer)) == ("AA", "C")
        paused.released.set()
        assert verdict(await one.answer()) == ("AA", "F")
    await _stands_as(world, pair)


@pytest.mark.parametrize("pair", PAIRS)
async def test_a_result_that_is_stored_after_its_correction_changes_nothing(world: CriticalWorld, pair: str) -> None:
    older, newer = PAIRS[pair]
    async with connected(world.hl7.port) as one, connected(world.hl7.port) as other:
        assert verdict(await other.send(newer)) == ("AA", "C")
        assert verdict(await one.send(older)) == ("AA", "F")
    await _stands_as(world, pair)
    assert world.did() == (["notice"] if pair == "corrected to critical" else [])


@pytest.mark.parametrize("pair", PAIRS)
async def test_a_result_and_its_correction_at_the_same_moment_leave_what_the_correction_says(
    world: CriticalWorld, monkeypatch: pytest.MonkeyPatch, pair: str
) -> None:
    barrier, put = asyncio.Barrier(2), world.hl7.records.put

    async def together(*args: Any, **more: Any) -> bool:
        await barrier.wait()
        return await put(*args, **more)

    monkeypatch.setattr(world.hl7.records, "put", together)
    async with connected(world.hl7.port) as one, connected(world.hl7.port) as other:
        for sender, form in zip((one, other), PAIRS[pair], strict=True):
            sender.writer.write(frame(form))
        assert [verdict(await sender.answer()) for sender in (one, other)] == [("AA", "F"), ("AA", "C")]
    await _stands_as(world, pair)


async def test_a_sender_that_died_after_a_stale_alarm_leaves_it_to_be_withdrawn_when_it_sends_again(
    world: CriticalWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends between the alarm for a result and the look at its correction, which came meanwhile."""
    older, newer = PAIRS["corrected to normal"]
    paused = Paused(world.service)
    monkeypatch.setattr(world.hl7.intake, "_critical", paused)
    find_form = world.hl7.records.find_form

    async def ended(*_: Any) -> None:
        raise AutoReconnect("gone")

    async with connected(world.hl7.port) as one, connected(world.hl7.port) as other:
        one.writer.write(frame(older))
        await paused.reached.wait()
        assert verdict(await other.send(newer)) == ("AA", "C")
        monkeypatch.setattr(world.hl7.records, "find_form", ended)
        paused.released.set()
        assert await one.at_end()
    await world.relay.close()
    assert (await world.only())["status"] == "told"
    monkeypatch.setattr(world.hl7.records, "find_form", find_form)
    async with connected(world.hl7.port) as one:
        assert verdict(await one.send(older)) == ("AA", "F")
    await _stands_as(world, "corrected to normal")
