"""The whole of it: people talk and pay while faults come round by round; then everything comes back, and is checked."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

import aiohttp

from tests.chaos.checks import Silent, check_answers, check_consults, check_members, check_proofs, check_silent
from tests.chaos.clients import Consult, NodeApp, Phone, PythonApp, pay
from tests.chaos.faults import Faults, NotDone
from tests.chaos.plan import Step, rounds
from tests.chaos.report import Done, Report
from tests.chaos.stage import Stage, staged
from tests.support.devices import Customer, GaveUp, customer

Say = Callable[[str], None]
"""Takes a line for whoever watches."""

PAIRS: Final = 4
_SILENT_SECONDS: Final = 1.5


@dataclass
class _Pair:
    """A patient and a doctor, each with the phone that the other knows."""

    customer: Customer
    patient: Phone
    doctor: Phone


@dataclass
class _People:
    """Everybody, and what they did."""

    seed: int
    pairs: list[_Pair]
    consults: list[Consult] = field(default_factory=list)
    silent: list[Silent] = field(default_factory=list)
    gave_up: list[str] = field(default_factory=list)
    """Who was not answered in all their patience, and why they think so."""
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def consult_on(self, number: int) -> None:
        """One consult after another; who has the app on Node changes from one to the next."""
        pair = self.pairs[number]
        for turn in count():
            if self.over.is_set():
                return
            name = f"s{self.seed}-{number}-{turn}"
            kind = (number + turn) % 3
            consult = Consult(
                customer=pair.customer,
                patient=NodeApp(pair.patient) if kind == 1 else PythonApp(pair.patient, gives=False),
                doctor=NodeApp(pair.doctor) if kind == 2 else PythonApp(pair.doctor, gives=True),
                phones=(pair.patient, pair.doctor),
                name=name,
                seed=f"{self.seed} {number} {turn}",
            )
            try:
                await consult.run()
            except GaveUp as error:
                self.gave_up.append(f"{name}: {error}")
            else:
                self.consults.append(consult)

    async def pay_in_vain(self) -> None:
        """Orders that nobody answers."""
        for number in count():
            if self.over.is_set():
                return
            who = self.pairs[number % len(self.pairs)].customer
            name = f"silent-{self.seed}-{number}"
            try:
                order = await who.order(name)
                self.silent.append(Silent(who, order, await pay(who, order["id"], name)))
            except GaveUp as error:
                self.gave_up.append(f"{name}: {error}")
            await asyncio.sleep(_SILENT_SECONDS)

    async def end(self) -> None:
        for consult in self.consults:
            consult.patient.end()
            consult.doctor.end()
        for phone in self.phones:
            await phone.close()

    @property
    def phones(self) -> list[Phone]:
        return [phone for pair in self.pairs for phone in (pair.patient, pair.doctor)]


async def besiege(seed: int, minutes: float, folder: Path, say: Say) -> Report:
    """Everything, in a folder that is ours alone."""
    report, began = Report(seed, minutes), time.monotonic()
    async with staged(folder) as stage, aiohttp.ClientSession() as http:
        took = time.monotonic() - began
        say(f"the product is up after {took:.0f} s: {len(stage.parts)} processes, {len(stage.mounted)} disks of their own")
        people = _People(seed, [await _pair(http, stage, number) for number in range(PAIRS)])
        started = time.monotonic()
        try:
            async with asyncio.TaskGroup() as all_of_it:
                for number in range(PAIRS):
                    all_of_it.create_task(people.consult_on(number))
                all_of_it.create_task(people.pay_in_vain())
                await _rounds(stage, seed, minutes * 60, report, say)
                people.over.set()
            report.seconds = time.monotonic() - started
            say("all have come back; checking")
            await _check(http, stage, people, report)
        finally:
            await people.end()
        report.starts = {name: part.starts for name, part in stage.parts.items()}
    return report


async def _rounds(stage: Stage, seed: int, seconds: float, report: Report, say: Say) -> None:
    """At least one round. Between two everything comes back: a siege that never lets up shows only who gives up first."""
    started, faults = time.monotonic(), Faults(stage)
    for steps in rounds(seed):
        await _round(faults, steps, started, report, say)
        await faults.over()
        await stage.until_in_order()
        report.rounds += 1
        report.starved = faults.starved
        say(f"round {report.rounds}: all came back after {time.monotonic() - started:.0f} s")
        if time.monotonic() - started >= seconds:
            return


async def _round(faults: Faults, steps: Sequence[Step], started: float, report: Report, say: Say) -> None:
    for step in steps:
        await asyncio.sleep(step.pause_seconds)
        at = time.monotonic() - started
        try:
            whom, happened = await faults.bring(step), True
        except NotDone as why:
            whom, happened = str(why), False
        report.done.append(Done(at, step, whom, happened))
        say(f"{at:7.1f} s  {step} ({whom})")


async def _check(http: aiohttp.ClientSession, stage: Stage, people: _People, report: Report) -> None:
    fresh = {}
    for number, pair in enumerate(people.pairs):
        new = await _pair(http, stage, number)
        fresh[pair.patient.account_id] = (new.patient, new.doctor)
    report.checks.append(await check_consults(people.consults, fresh))
    report.checks.append(await check_silent(people.silent))
    newcomers = [phone for pair in fresh.values() for phone in pair]
    report.checks.append(check_answers([*people.phones, *newcomers], people.gave_up))
    report.checks += await check_proofs(stage)
    report.checks.append(await check_members(stage))
    for phone in newcomers:
        await phone.close()
    said = [each for consult in people.consults for each in consult.by.values()]
    report.figures = {
        "consults": len(people.consults),
        "of them with an app on Node": sum(NodeApp in map(type, (c.patient, c.doctor)) for c in people.consults),
        "messages and recalls acknowledged": sum(s.seq is not None for each in said for s in each.sent.values()),
        "of them over HTTP": sum(each.over_http for each in said),
        "recalls": sum(len(each.recalled) for each in said),
        "gifts": sum(each.gifts for each in said),
        "connections opened again": sum(each.reconnects for each in said),
        "orders that nobody answered": len(people.silent),
        "members that died of a full disk": report.starved,
    }


async def _pair(http: aiohttp.ClientSession, stage: Stage, number: int) -> _Pair:
    """The demo's patient and doctor of that number, on new devices."""
    demo = stage.demo
    who, doctor = await customer(http, demo, number)
    patient_phone = await Phone.open(who.device, demo, "patient", demo["patients"][number]["phone"])
    doctor_phone = await Phone.open(doctor, demo, "doctor", demo["doctors"][number]["phone"])
    return _Pair(Customer(patient_phone, who.patient_id, who.doctor_id, who.simulators_url), patient_phone, doctor_phone)
