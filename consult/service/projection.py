"""What follows from the log: the order's status and lists, the money of what is settled, and notices.

A consumer of the keeper's follower, at least once: each entry's effects come before the note that it was followed, and each
effect is one that can be taken twice.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from consult.domain.log import DOCTOR, ConsultState, facts_of, fold
from consult.domain.notices import MOST_REPLY_NOTICES, Notice, notices_of_entry, occasions_of_entry
from consult.domain.order import ORDERS
from consult.ports import Log, OrderRepository, Outboxes, PlaceRepository
from consult.service.fairness import FairnessService
from consult.service.notices import NoticeService
from consult.service.quick import PoolService
from consult.service.reminders import ReminderService
from consult.service.settlement import settled_event
from im.domain import Entry, EntryKind
from im.push.domain import Occasion
from server.kernel.clock import Clock, from_ms

_PAGE: Final = 500
_REMEMBERED: Final = 20_000
_NO_PLACES: Final[frozenset[tuple[str, str]]] = frozenset()


@dataclass(slots=True)
class _Effects:
    """What is to be done for the entries that were not followed before."""

    notices: list[Notice] = field(default_factory=list)
    occasions: list[Occasion] = field(default_factory=list)
    replies: list[Entry] = field(default_factory=list)
    opened: bool = False
    answered: bool = False
    pooled: Entry | None = None
    """With which it last came to its department's pool."""
    places: dict[tuple[str, str], bool] = field(default_factory=dict)
    """(doctor, day) of places that the log took, or gave back: whether it is held now."""

    def take(self, entry: Entry, state: ConsultState) -> None:
        """`state` is the one after the entry."""
        draft = entry.draft
        at = from_ms(entry.at_ms)
        notices = list(notices_of_entry(entry, state, at))
        self.notices.extend(notices)
        self.occasions.extend(occasions_of_entry(entry, state, notices, at))
        self.opened |= draft.kind is EntryKind.OPENED
        if draft.kind is EntryKind.MESSAGE and draft.role == DOCTOR and len(state.counted) <= MOST_REPLY_NOTICES:
            self.replies.append(entry)
        first_reply = draft.kind is EntryKind.MESSAGE and draft.role == DOCTOR and len(state.counted) == 1
        self.answered |= first_reply or draft.closes is not None
        if state.waits_in_pool and draft.kind in (EntryKind.OPENED, EntryKind.REFERRED):
            self.pooled = entry


@dataclass(frozen=True, slots=True)
class _Followed:
    """One conversation: where it stood in `log_seq`, how it stands now, what is to be done for it."""

    conversation_id: str
    begins: int
    state: ConsultState
    effects: _Effects


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
        pool: PoolService,
        relay: Outboxes,
        clock: Clock,
    ) -> None:
        self._orders = orders
        self._log = log
        self._notices = notices
        self._reminders = reminders
        self._fairness = fairness
        self._places = places
        self._pool = pool
        self._relay = relay
        self._clock = clock
        self._states: OrderedDict[str, ConsultState] = OrderedDict()

    async def consume(self, runs: Mapping[str, Sequence[Entry]]) -> None:
        """Follow these entries, which come in ascending order in each conversation."""
        known = {each: state for each in runs if (state := self._states.pop(each, None)) is not None}
        stored = await self._find_stored(runs.keys() - known.keys())
        followed: list[_Followed] = []
        for conversation_id, entries in runs.items():
            begins = known[conversation_id].seq if conversation_id in known else stored.get(conversation_id)
            if begins is not None:
                followed.append(await self._follow(conversation_id, entries, known.get(conversation_id), begins))
        await self._store([each for each in followed if each.state.seq > each.begins])
        self._remember(followed)

    async def catch_up(self, conversation_id: str) -> None:
        """Follow whatever has not been followed of this conversation."""
        followed = self._states[conversation_id].seq if conversation_id in self._states else 0
        page = await self._log.read_entries(conversation_id, after_seq=followed, limit=_PAGE)
        while page.entries:
            await self.consume({conversation_id: page.entries})
            if not page.more:
                return
            page = await self._log.read_entries(conversation_id, after_seq=page.entries[-1].seq, limit=_PAGE)

    async def find_log_seqs(self, conversation_ids: Collection[str]) -> Mapping[str, int]:
        """Up to which entry each is followed, for the follower."""
        known = {each: self._states[each].seq for each in conversation_ids if each in self._states}
        return {**known, **await self._find_stored(set(conversation_ids) - known.keys())}

    async def _find_stored(self, conversation_ids: Collection[str]) -> Mapping[str, int]:
        return await self._orders.find_log_seqs(conversation_ids) if conversation_ids else {}

    async def _follow(
        self, conversation_id: str, entries: Sequence[Entry], state: ConsultState | None, begins: int
    ) -> _Followed:
        effects = _Effects()
        for entry in entries:
            if state is None or entry.seq > state.seq + 1:
                state = await self._fill(conversation_id, state, entry.seq - 1, begins, effects)
            if state is None or entry.seq == state.seq + 1:
                state = self._take(state, entry, begins, effects)
        assert state is not None, "there was an entry"
        return _Followed(conversation_id, begins, state, effects)

    async def _fill(
        self, conversation_id: str, state: ConsultState | None, up_to: int, begins: int, effects: _Effects
    ) -> ConsultState | None:
        while (seq := state.seq if state is not None else 0) < up_to:
            page = await self._log.read_entries(conversation_id, after_seq=seq, limit=_PAGE)
            if not page.entries:
                break
            for entry in page.entries:
                if entry.seq <= up_to:
                    state = self._take(state, entry, begins, effects)
        return state

    def _take(self, state: ConsultState | None, entry: Entry, begins: int, effects: _Effects) -> ConsultState:
        before = frozenset(state.places) if state is not None and state.places else _NO_PLACES
        state = fold(state, entry)
        if entry.seq > begins:
            effects.take(entry, state)
            if before or state.places:
                effects.places |= dict.fromkeys(before - state.places, False) | dict.fromkeys(state.places - before, True)
        return state

    async def _store(self, followed: Sequence[_Followed]) -> None:
        """What most entries cause is written for all in one go; what few cause, by itself."""
        if not followed:
            return
        for each in followed:
            await self._rare_effects(each.state, each.effects, each.conversation_id)
        await self._notices.tell([notice for each in followed for notice in each.effects.notices], push=False)
        if self._notices.pushes is not None:
            await self._notices.pushes.tell([occasion for each in followed for occasion in each.effects.occasions])
        await self._fairness.look_at([(reply, each.state) for each in followed for reply in each.effects.replies])
        now = self._clock.now()
        shown = []
        for state in (each.state for each in followed):
            facts = facts_of(state)
            event = settled_event(state.order_id, state.hospital_id, facts, now)
            shown.append((state.order_id, state.hospital_id, facts, event))
        await self._orders.follow_logs(shown)
        for order_id, hospital_id, _, event in shown:
            if event is not None:
                self._relay.soon(ORDERS, order_id, hospital_id)

    async def _rare_effects(self, state: ConsultState, effects: _Effects, conversation_id: str) -> None:
        if effects.opened:
            await self._reminders.plan(state, conversation_id)
        if effects.answered:
            await self._reminders.settled(state)
        for (doctor_id, day), held in effects.places.items():
            settle = self._places.hold if held else self._places.free
            await settle(state.hospital_id, doctor_id, day, state.order_id)
        if effects.pooled is not None and state.waits_in_pool:
            await self._pool.tell_department(effects.pooled, state)

    def _remember(self, followed: Iterable[_Followed]) -> None:
        """Only after everything of them is stored: what failed is begun again from what is stored."""
        for each in followed:
            self._states[each.conversation_id] = each.state
        while len(self._states) > _REMEMBERED:
            self._states.popitem(last=False)
