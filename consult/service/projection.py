"""What follows from the log: the order's status and lists, the money of what is settled, and notices.

A consumer of the keeper's follower, at least once: each entry's effects come before the note that it was followed, and each
effect is one that can be taken twice.
"""

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from consult.domain.log import DOCTOR, ConsultState, facts_of, fold
from consult.domain.notices import MOST_REPLY_NOTICES, Notice, notices_of_entry, occasions_of_entry
from consult.domain.order import ORDERS
from consult.ports import Log, OrderRepository, Outboxes, PlaceRepository
from consult.service.fairness import FairnessService
from consult.service.notices import NoticeService
from consult.service.reminders import ReminderService
from consult.service.settlement import settled_event
from im.domain import Entry, EntryKind
from im.push.domain import Occasion
from server.kernel.clock import Clock, from_ms

_PAGE: Final = 500
_REMEMBERED: Final = 20_000


@dataclass(slots=True)
class _Effects:
    """What is to be done for the entries that were not followed before."""

    conversation_id: str = ""
    notices: list[Notice] = field(default_factory=list)
    occasions: list[Occasion] = field(default_factory=list)
    replies: list[Entry] = field(default_factory=list)
    opened: bool = False
    answered: bool = False
    given_back: list[tuple[str, str]] = field(default_factory=list)
    """(doctor, day) of places that a referral took which came to nothing."""

    def take(self, entry: Entry, state: ConsultState) -> None:
        """`state` is the one after the entry."""
        draft = entry.draft
        self.conversation_id = entry.conversation_id
        at = from_ms(entry.at_ms)
        notices = list(notices_of_entry(entry, state, at))
        self.notices.extend(notices)
        self.occasions.extend(occasions_of_entry(entry, state, notices, at))
        self.opened |= draft.kind is EntryKind.OPENED
        if draft.kind is EntryKind.MESSAGE and draft.role == DOCTOR and len(state.counted) <= MOST_REPLY_NOTICES:
            self.replies.append(entry)
        first_reply = draft.kind is EntryKind.MESSAGE and draft.role == DOCTOR and len(state.counted) == 1
        self.answered |= first_reply or draft.closes is not None


class OrderProjection:
    """Takes entry n+1 only: an older one is dropped, a gap is filled from the log."""

    name = "orders"

    def __init__(
        self,
        orders: OrderRepository,
        log: Log,
        notices: NoticeService,
        reminders: ReminderService,
        fairness: FairnessService,
        places: PlaceRepository,
        relay: Outboxes,
        clock: Clock,
    ) -> None:
        self._orders = orders
        self._log = log
        self._notices = notices
        self._reminders = reminders
        self._fairness = fairness
        self._places = places
        self._relay = relay
        self._clock = clock
        self._states: OrderedDict[str, ConsultState] = OrderedDict()

    async def consume(self, conversation_id: str, entries: Sequence[Entry]) -> None:
        """Follow these entries of one conversation, which come in ascending order."""
        state = self._states.pop(conversation_id, None)
        followed = state.seq if state is not None else await self._orders.find_log_seq(conversation_id)
        if followed is None:
            return
        told = _Effects()
        for entry in entries:
            if state is None or entry.seq > state.seq + 1:
                state = await self._fill(conversation_id, state, entry.seq - 1, followed, told)
            if state is None or entry.seq == state.seq + 1:
                state = self._take(state, entry, followed, told)
        if state is not None and state.seq > followed:
            await self._store(state, told)
        if state is not None:
            self._remember(conversation_id, state)

    async def catch_up(self, conversation_id: str) -> None:
        """Follow whatever has not been followed of this conversation."""
        followed = self._states[conversation_id].seq if conversation_id in self._states else 0
        page = await self._log.read_entries(conversation_id, after_seq=followed, limit=_PAGE)
        while page.entries:
            await self.consume(conversation_id, page.entries)
            if not page.more:
                return
            page = await self._log.read_entries(conversation_id, after_seq=page.entries[-1].seq, limit=_PAGE)

    async def find_log_seqs(self, conversation_ids: Collection[str]) -> Mapping[str, int]:
        """Up to which entry each is followed, for the follower."""
        return await self._orders.find_log_seqs(conversation_ids)

    async def _fill(
        self, conversation_id: str, state: ConsultState | None, up_to: int, followed: int, told: _Effects
    ) -> ConsultState | None:
        while (seq := state.seq if state is not None else 0) < up_to:
            page = await self._log.read_entries(conversation_id, after_seq=seq, limit=_PAGE)
            if not page.entries:
                break
            for entry in page.entries:
                if entry.seq <= up_to:
                    state = self._take(state, entry, followed, told)
        return state

    def _take(self, state: ConsultState | None, entry: Entry, followed: int, told: _Effects) -> ConsultState:
        before = None if state is None else state.referral
        state = fold(state, entry)
        if entry.seq > followed:
            told.take(entry, state)
            came_to_nothing = state.referral is None and before is not None and state.doctor != before.doctor.id
            if came_to_nothing and before is not None and before.place_day is not None:
                told.given_back.append((before.doctor.id, before.place_day))
        return state

    async def _store(self, state: ConsultState, told: _Effects) -> None:
        facts = facts_of(state)
        if told.opened:
            await self._reminders.plan(state, told.conversation_id)
        await self._notices.tell(told.notices, push=False)
        if self._notices.pushes is not None:
            await self._notices.pushes.tell(told.occasions)
        for reply in told.replies:
            await self._fairness.look_at(reply, state)
        if told.answered:
            await self._reminders.settled(state)
        for doctor_id, day in told.given_back:
            await self._places.free(state.hospital_id, doctor_id, day, state.order_id)
        event = settled_event(state.order_id, state.hospital_id, facts, self._clock.now())
        await self._orders.follow_log(state.order_id, state.hospital_id, facts, event)
        if event is not None:
            self._relay.soon(ORDERS, state.order_id, state.hospital_id)

    def _remember(self, conversation_id: str, state: ConsultState) -> None:
        """Only after everything of it is stored: what failed is begun again from what is stored."""
        self._states[conversation_id] = state
        while len(self._states) > _REMEMBERED:
            self._states.popitem(last=False)
