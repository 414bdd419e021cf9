"""What the entries of a consult's log mean: the state that they fold to, kept small and cheap to advance.

A *counted reply* is a message of the current doctor that is not recalled. Cancel, decline, finish and the money look at
nothing else.
"""

from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from consult.domain.status import NOBODY, CloseReason, LogDoctor, LogFacts, OrderStatus, Outcome, log_status
from im.domain import Draft as Draft
from im.domain import Entry, EntryKind, Opening, Summary

PATIENT: Final = "patient"
DOCTOR: Final = "doctor"
SYSTEM: Final = "system"

SILENT: Final = "silent"
"""Why an order went back to its pool without its doctor's doing."""

_NO_SENDER: Final = 255
_MOST_ACCOUNTS: Final = 255


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for one order from its capture on; a later change of settings does not touch it."""

    validity_ms: int
    replies: int
    recall_window_ms: int
    patient_burst: int
    quick_patience_ms: int = 0
    """How long a doctor who took a quick consult may say and read nothing; 0: until the deadline."""

    def as_data(self) -> dict[str, int]:
        """As it stands in entries; `quick_patience_ms` stands in the opening of quick consults only."""
        return {
            "validity_ms": self.validity_ms,
            "replies": self.replies,
            "recall_window_ms": self.recall_window_ms,
            "patient_burst": self.patient_burst,
        }


class ReferralAct(StrEnum):
    """What is done to a referral: the doctor proposes or withdraws it, the new one accepts or refuses, then the patient agrees
    or refuses."""

    PROPOSE = "proposed"
    ACCEPT = "accepted"
    AGREE = "agreed"
    REFUSE = "refused"
    WITHDRAW = "withdrawn"


class QuickAct(StrEnum):
    """What is done to a quick consult besides: a doctor of the department takes it out of the pool, or puts it back."""

    TAKE = "taken"
    RETURN = "returned"


@dataclass(frozen=True, slots=True)
class LogDepartment:
    """The department whose first free doctor a quick consult was for."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Referral:
    """A referral under way. `place_day` is the day of the new doctor's on which it has a place, once accepted."""

    id: str
    doctor: LogDoctor
    reason: str
    accepted: bool = False
    place_day: str | None = None


@dataclass(slots=True)
class ConsultState:
    """A consult at entry `seq`. Owned by whoever folds; nothing in it is copied per entry.

    `senders[seq - 1]` is the place in `accounts` of a message's sender, `times[seq - 1]` the instant of the entry: nine bytes
    an entry, so that a conversation of 10 000 stays small. `counted` is a set in ascending order: the replies that count.
    `patient_run` counts the patient's messages since the last reply.
    `closing_seq` is the entry that closed it. `commands` are the ids of requests that already had their effect. `referral` is
    the one that is under way, `referrals` how many there were; `referred_to` the doctor whom one brought, or whom a quick
    consult is with. `department` is set on quick consults: while `doctor` is NOBODY they wait in its pool. `returned_by` put it
    back there. `taken_seq` is the take of a doctor who has done nothing since, 0 where there is none; `lapsed`: a silent one
    lost it already. `places` are those (doctor, local day) of daily maxima that the log took and has not given back.
    """

    order_id: str
    hospital_id: str
    policy: Policy
    fee_fen: int
    closes_at_ms: int
    doctor: str
    roles: dict[str, str]
    limit: int
    seq: int = 0
    accounts: list[str] = field(default_factory=list)
    senders: bytearray = field(default_factory=bytearray)
    times: "array[int]" = field(default_factory=lambda: array("q"))
    recalled: set[int] = field(default_factory=set)
    counted: dict[int, None] = field(default_factory=dict)
    gifted: int = 0
    patient_run: int = 0
    open: bool = True
    close_reason: CloseReason | None = None
    closed_at_ms: int | None = None
    settled: Outcome | None = None
    commands: set[str] = field(default_factory=set)
    referral: Referral | None = None
    referrals: int = 0
    referred_to: LogDoctor | None = None
    department: LogDepartment | None = None
    returned_by: set[str] = field(default_factory=set)
    places: set[tuple[str, str]] = field(default_factory=set)
    taken_seq: int = 0
    lapsed: bool = False

    @property
    def waits_in_pool(self) -> bool:
        """Whether it is a quick consult that nobody has."""
        return self.open and self.doctor == NOBODY

    def sender_of(self, seq: int) -> str | None:
        """Who sent message `seq`; None where there is no such entry, or it is no message."""
        if not 0 < seq <= self.seq or self.senders[seq - 1] == _NO_SENDER:
            return None
        return self.accounts[self.senders[seq - 1]]

    def is_open_at(self, now_ms: int) -> bool:
        """The window is half-open: at `closes_at_ms` a reply is late and expiry is due, so never both."""
        return self.open and now_ms < self.closes_at_ms

    @property
    def settle_due_at_ms(self) -> int | None:
        """When the money may move: the close plus the recall window, or the close itself where no counted reply could still
        be recalled then. None while open, and once settled."""
        if self.closed_at_ms is None or self.settled is not None:
            return None
        window = self.policy.recall_window_ms
        last = next(reversed(self.counted), None)
        if last is None or self.closed_at_ms >= self.times[last - 1] + window:
            return self.closed_at_ms
        return self.closed_at_ms + window

    @property
    def lapse_due_at_ms(self) -> int | None:
        """When a quick consult may go back to its pool, if its doctor read nothing of it either. Once in its life."""
        patience = self.policy.quick_patience_ms
        if not self.open or not self.taken_seq or self.lapsed or not patience:
            return None
        due = self.times[self.taken_seq - 1] + patience
        return due if due < self.closes_at_ms else None

    @property
    def status(self) -> OrderStatus:
        """The order's status by the log; `refunded` is not the log's to say."""
        return log_status(facts_of(self))


def opening_of(
    *,
    order_id: str,
    hospital_id: str,
    patient_account: str,
    doctor_id: str,
    fee_fen: int,
    paid_at_ms: int,
    policy: Policy,
    department: LogDepartment | None = None,
) -> Opening:
    """The first entry: the whole policy stands in it. The same order gives the same opening whenever it is asked. With a
    department it is a quick consult, whose doctor is NOBODY."""
    data: dict[str, Any] = {
        "order_id": order_id,
        "hospital_id": hospital_id,
        "patients": [patient_account],
        "doctor": doctor_id,
        "fee_fen": fee_fen,
        "paid_at_ms": paid_at_ms,
        **policy.as_data(),
    }
    if department is not None:
        data["department"] = {"id": department.id, "name": department.name}
        data["quick_patience_ms"] = policy.quick_patience_ms
    return Opening(hospital_id, paid_at_ms, Draft(kind=EntryKind.OPENED, sender=None, role=SYSTEM, data=data))


def fold(state: ConsultState | None, entry: Entry) -> ConsultState:
    """The state after `entry`. Changes and returns the state that it is given."""
    if state is None:
        state = _begin(entry.draft.data)
    _FOLDS[entry.draft.kind](state, entry)
    state.seq = entry.seq
    return state


def facts_of(state: ConsultState) -> LogFacts:
    """What the order's document, lists and answers take from the log."""
    return LogFacts(
        seq=state.seq,
        open=state.open,
        closes_at_ms=state.closes_at_ms,
        counted_replies=len(state.counted),
        gifted=state.gifted,
        limit=state.limit,
        first_reply_at_ms=state.times[next(iter(state.counted)) - 1] if state.counted else None,
        closed_at_ms=state.closed_at_ms,
        close_reason=state.close_reason,
        settle_due_at_ms=state.settle_due_at_ms,
        settled=state.settled,
        doctor=state.referred_to,
        referral_to=None if state.referral is None else state.referral.doctor.id,
        lapse_due_at_ms=state.lapse_due_at_ms,
    )


def summary_of(state: ConsultState) -> Summary:
    """What members may know of the state without asking for the order."""
    return Summary(
        order_id=state.order_id,
        hospital_id=state.hospital_id,
        members=state.roles,
        open=state.open,
        closes_at_ms=state.closes_at_ms,
    )


def _begin(data: Mapping[str, Any]) -> ConsultState:
    policy = Policy(
        data["validity_ms"],
        data["replies"],
        data["recall_window_ms"],
        data["patient_burst"],
        data.get("quick_patience_ms", 0),
    )
    department = data.get("department")
    doctors = [data["doctor"]] if data["doctor"] != NOBODY else []
    return ConsultState(
        order_id=data["order_id"],
        hospital_id=data["hospital_id"],
        policy=policy,
        fee_fen=data["fee_fen"],
        closes_at_ms=data["paid_at_ms"] + policy.validity_ms,
        doctor=data["doctor"],
        roles={**dict.fromkeys(data["patients"], PATIENT), **dict.fromkeys(doctors, DOCTOR)},
        limit=policy.replies,
        accounts=[*data["patients"], *doctors],
        department=None if department is None else LogDepartment(**department),
    )


def _note(state: ConsultState, entry: Entry, sender: int = _NO_SENDER) -> None:
    state.senders.append(sender)
    state.times.append(entry.at_ms)


def _fold_plain(state: ConsultState, entry: Entry) -> None:
    _note(state, entry)


def _fold_message(state: ConsultState, entry: Entry) -> None:
    account = entry.draft.sender
    assert account is not None, "a message has a sender"
    _note(state, entry, state.accounts.index(account))
    if account != state.doctor:
        state.patient_run += 1
        return
    state.patient_run = state.taken_seq = 0
    if state.referral is not None:
        _end_referral(state)
    state.counted[entry.seq] = None
    if entry.draft.closes is not None:
        _close(state, entry.at_ms, CloseReason(entry.draft.closes))


def _fold_recall(state: ConsultState, entry: Entry) -> None:
    """A recalled reply gives its quota back, unless the money has been settled: then a recall only masks. Whether it opens the
    consult again was decided with the recall."""
    _note(state, entry)
    target = entry.draft.recalls
    assert target is not None, "a recall names what it recalls"
    state.recalled.add(target)
    if state.settled is not None or target not in state.counted:
        return
    del state.counted[target]
    if entry.draft.data.get("reopens"):
        state.open, state.close_reason, state.closed_at_ms = True, None, None


def _fold_gift(state: ConsultState, entry: Entry) -> None:
    _note(state, entry)
    state.gifted += entry.draft.data["count"]
    state.limit += entry.draft.data["count"]
    _remember(state, entry)


def _fold_closed(state: ConsultState, entry: Entry) -> None:
    _note(state, entry)
    assert entry.draft.closes is not None, "a closing entry says why"
    _close(state, entry.at_ms, CloseReason(entry.draft.closes))
    _remember(state, entry)


def _fold_referred(state: ConsultState, entry: Entry) -> None:
    """Steps of a referral, or of a quick consult from and to its pool."""
    _note(state, entry)
    _remember(state, entry)
    data = entry.draft.data
    if data["act"] == QuickAct.TAKE:
        state.places.add((data["doctor"]["id"], data["place_day"]))
        _pass_on(state, LogDoctor(**data["doctor"]))
        state.taken_seq = entry.seq
        return
    state.taken_seq = 0
    if data["act"] == QuickAct.RETURN:
        state.returned_by.add(state.doctor)
        state.lapsed |= data.get("cause") == SILENT
        _end_referral(state)
        _pass_on(state, LogDoctor(**data["doctor"]))
        return
    act = ReferralAct(data["act"])
    if act is ReferralAct.PROPOSE:
        state.referral = Referral(data["referral_id"], LogDoctor(**data["doctor"]), data["reason"])
        state.referrals += 1
        return
    referral = state.referral
    assert referral is not None, "only a proposal begins a referral"
    if act is ReferralAct.ACCEPT:
        state.referral = replace(referral, accepted=True, place_day=data["place_day"])
        state.places.add((referral.doctor.id, data["place_day"]))
        return
    if act is ReferralAct.AGREE:
        state.referral = None
        _pass_on(state, referral.doctor)
    else:
        _end_referral(state)


def _pass_on(state: ConsultState, doctor: LogDoctor) -> None:
    """The order is this doctor's from here on, or nobody's: fee and deadline stay, the quota starts anew, and the one before is
    no member any more."""
    others = {account: role for account, role in state.roles.items() if account != state.doctor}
    state.doctor, state.roles, state.referred_to = doctor.id, others, doctor
    state.limit, state.gifted, state.patient_run = state.policy.replies, 0, 0
    state.counted.clear()
    if doctor.id == NOBODY:
        return
    state.roles[doctor.id] = DOCTOR
    if doctor.id not in state.accounts:
        state.accounts.append(doctor.id)


def _end_referral(state: ConsultState) -> None:
    """One that is under way comes to nothing, and what it took of a day is given back; a place that a doctor had for this order
    before stays."""
    referral, state.referral = state.referral, None
    if referral is not None and referral.place_day is not None and referral.doctor.id not in state.returned_by:
        state.places.discard((referral.doctor.id, referral.place_day))


def _fold_settled(state: ConsultState, entry: Entry) -> None:
    """The last word on money; after-sales may speak once more after it, and name the whole fee's way back as the close."""
    _note(state, entry)
    state.settled = Outcome(entry.draft.data["outcome"])
    if entry.draft.data.get("cause") == CloseReason.AFTER_SALES and state.settled is Outcome.REFUND:
        state.close_reason = CloseReason.AFTER_SALES
    _remember(state, entry)


def _close(state: ConsultState, at_ms: int, reason: CloseReason) -> None:
    state.open, state.close_reason, state.closed_at_ms = False, reason, at_ms
    _end_referral(state)


def _remember(state: ConsultState, entry: Entry) -> None:
    if (command_id := entry.draft.data.get("command_id")) is not None:
        state.commands.add(command_id)


_FOLDS: Final[Mapping[EntryKind, Callable[[ConsultState, Entry], None]]] = MappingProxyType(
    {
        EntryKind.OPENED: _fold_plain,
        EntryKind.MESSAGE: _fold_message,
        EntryKind.RECALL: _fold_recall,
        EntryKind.GIFT: _fold_gift,
        EntryKind.REFERRED: _fold_referred,
        EntryKind.CLOSED: _fold_closed,
        EntryKind.SETTLED: _fold_settled,
    }
)
