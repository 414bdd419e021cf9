"""What must hold when a siege is over: everything that was acknowledged, once, on every device; every fen; every proof."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from pymongo import AsyncMongoClient

from server.kernel.mongo import DATABASE
from tests.chaos.clients import Consult, Phone, Said
from tests.chaos.stage import Stage
from tests.support.devices import Customer, GaveUp, Sent

_PATIENCE_SECONDS: Final = 600.0
COMMANDS = (("audit", "verify"), ("ledger", "verify"), ("check", "deadlines"))


@dataclass(frozen=True, slots=True)
class Check:
    """`faults`: what does not hold, in words; empty when it holds."""

    what: str
    faults: Sequence[str]
    figures: str = ""


@dataclass(frozen=True, slots=True)
class Silent:
    """An order that was paid and that nobody answered."""

    customer: Customer
    order: Mapping[str, Any]
    prepay_id: str


def log_faults(log: Sequence[Mapping[str, Any]], by: Mapping[str, Said]) -> list[str]:
    """Where a log is not what was acknowledged: holes, doubles, what is lost, what nobody was told of, what was taken back."""
    faults = []
    if [entry["seq"] for entry in log] != list(range(1, len(log) + 1)):
        faults.append(f"numbers are not 1 to {len(log)}: {[entry['seq'] for entry in log]}")
    ours = [entry for entry in log if entry["kind"] in ("message", "recall")]
    keys = [(entry["sender"]["account_id"], entry["client_id"]) for entry in ours]
    faults += [f"{key[1]} is there {keys.count(key)} times" for key in sorted(set(keys)) if keys.count(key) > 1]
    there = {key: entry["seq"] for key, entry in zip(keys, ours, strict=True)}
    told = {(account, name): sent for account, said in by.items() for name, sent in said.sent.items()}
    for key in sorted({*there, *told}):
        seq = told.get(key, Sent(None, "never answered")).seq
        if there.get(key) != seq:
            faults.append(f"{key[1]} was acknowledged as {seq}, and stands there as {there.get(key)}")
    recalled = set().union(*(said.recalled for said in by.values()))
    if (shown := {entry["seq"] for entry in log if entry["recalled"]}) != recalled:
        faults.append(f"recalled are {sorted(recalled)}, shown as such {sorted(shown)}")
    faults += [f"{entry['seq']} is recalled and has its words" for entry in log if entry["recalled"] and entry["parts"]]
    kinds = [entry["kind"] for entry in log]
    gifts = sum(said.gifts for said in by.values())
    after = set(kinds[kinds.index("settled") + 1 :]) if "settled" in kinds else {"nothing"}
    if (kinds[0], kinds.count("opened"), kinds.count("settled")) != ("opened", 1, 1) or after - {"recall"}:
        faults.append(f"it should begin with its opening and end with its settling, but for what was taken back later: {kinds}")
    if kinds.count("gift") != gifts:
        faults.append(f"{gifts} gifts were acknowledged, {kinds.count('gift')} are there")
    return faults


def difference(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where two devices hold different logs."""
    faults = [] if len(one) == len(other) else [f"{len(one)} entries on one, {len(other)} on the other"]
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            fields = sorted(name for name in {*mine, *theirs} if mine.get(name) != theirs.get(name))
            faults.append(f"entry {mine['seq']}: {', '.join(fields)} differ")
    return faults


def counted_replies(log: Sequence[Mapping[str, Any]]) -> int:
    """What pays the doctor: his messages that were not taken back."""
    return sum(e["kind"] == "message" and e["sender"]["role"] == "doctor" and not e["recalled"] for e in log)


async def check_consult(consult: Consult, fresh: Sequence[Phone]) -> list[str]:
    """Both apps, and a device of each that comes only now, hold the same log; it is what was acknowledged; money follows."""
    if not consult.by:
        return await _refunded_once(Silent(consult.customer, consult.order, consult.prepay_id))
    conversation = consult.order["conversation_id"]
    logs = [
        *await asyncio.gather(consult.patient.log(conversation), consult.doctor.log(conversation)),
        *[await phone.log_of(conversation) for phone in fresh],
    ]
    faults = log_faults(logs[2], consult.by)
    names = ("the patient's app", "the doctor's app", "a new device of the patient", "a new device of the doctor")
    for name, log in zip(names, logs, strict=True):
        faults += [f"{name}: {fault}" for fault in difference(log, logs[2])]
    faults += [strange for said in consult.by.values() for strange in said.strange]
    if counted_replies(logs[2]):
        await consult.customer.until(consult.order["id"], "completed", seconds=_PATIENCE_SECONDS)
        refunds = (await consult.customer.wallet(consult.prepay_id))["refunds"]
        return [*faults, *(["it was answered, and yet refunded"] if refunds else [])]
    return faults + await _refunded_once(Silent(consult.customer, consult.order, consult.prepay_id))


async def _refunded_once(silent: Silent) -> list[str]:
    try:
        done = await silent.customer.until(silent.order["id"], "refunded", seconds=_PATIENCE_SECONDS)
    except GaveUp:
        now = await silent.customer.device.call("GET", f"/orders/{silent.order['id']}")
        return [f"not refunded: {now['status']}, paid at {now['paid_at']}, deadline {now['deadline_at']}"]
    fee = silent.order["fee_fen"]
    refunds = [(r["amount_fen"], r["status"]) for r in (await silent.customer.wallet(silent.prepay_id))["refunds"]]
    if (done["refunded_fen"], refunds) != (fee, [(fee, "SUCCESS")]):
        return [f"the fee is {fee}, the order says {done['refunded_fen']} refunded, the gateway {refunds}"]
    return []


async def check_consults(consults: Sequence[Consult], fresh: Mapping[str, Sequence[Phone]]) -> Check:
    faults = []
    for consult in consults:
        try:
            found = await check_consult(consult, fresh[consult.phones[0].account_id])
        except (AssertionError, TimeoutError, aiohttp.ClientError) as error:
            found = [f"{type(error).__name__}: {error}", f"the order when it was paid: {consult.order}"]
        faults += [f"{consult.name} ({consult.order.get('id', 'no order')}): {fault}" for fault in found]
    commands = sum(len(said.sent) for consult in consults for said in consult.by.values())
    what = "every device of every consult holds the same log, and it is what was acknowledged: nothing lost, doubled or missing"
    return Check(what, faults, f"{len(consults)} consults, {commands} commands, four devices each")


async def check_silent(orders: Sequence[Silent]) -> Check:
    faults = []
    for silent in orders:
        try:
            found = await _refunded_once(silent)
        except (AssertionError, TimeoutError, aiohttp.ClientError) as error:
            found = [f"{type(error).__name__}: {error}"]
        faults += [f"{silent.order['id']}: {fault}" for fault in found]
    return Check("every order that nobody answered was refunded in full, once", faults, f"{len(orders)} orders")


def check_answers(phones: Sequence[Phone], gave_up: Sequence[str]) -> Check:
    """What a client must never be told, whatever dies; and that each was told something."""
    faults = [f"not answered: {what}" for what in gave_up]
    faults += [f"internal error: {what}" for phone in phones for what in phone.internal]
    faults += [f"a good token was refused: {what}" for phone in phones for what in phone.refused]
    slowest = max((phone.slowest for phone in phones), default=(0.0, ""))
    return Check(
        "everybody was answered; nobody saw an internal error, or was signed out",
        faults,
        f"slowest answer {slowest[0]:.1f} s ({slowest[1]})",
    )


async def check_proofs(stage: Stage) -> list[Check]:
    """What an operator asks each night."""
    made = []
    for command in COMMANDS:
        code, output = await stage.yunzhen(*command)
        lines = output.strip().splitlines() or ["(nothing)"]
        faults = [] if code == 0 else [f"exit {code}", *lines[-12:]]
        made.append(Check(f"yunzhen {' '.join(command)} exits 0", faults, lines[-1]))
    return made


async def check_members(stage: Stage) -> Check:
    """The three members hold the same bytes, once the last write has reached them."""
    clients = [
        AsyncMongoClient[dict[str, Any]](f"mongodb://127.0.0.1:{member.port}/?directConnection=true")
        for member in stage.members()
    ]
    collections = ["log", "postings", "payments", "refunds"]
    found: list[Any] = []
    for _ in range(100):
        hashes = await asyncio.gather(*(client[DATABASE].command("dbHash", collections=collections) for client in clients))
        found = [each["collections"] for each in hashes]
        if found[0] == found[1] == found[2]:
            break
        await asyncio.sleep(0.2)
    for client in clients:
        await client.close()
    faults = [] if found[0] == found[1] == found[2] else [f"hashes differ: {found}"]
    return Check("the three members of the replica set hold the same log and money", faults, f"{len(found[0])} collections")
