"""What is pushed to whom, and when: pure rules.

A push never holds words of people: it says that there is something, and which conversation or order to open.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from server.kernel.actor import Role
from server.kernel.ids import derived_id

LONG_ABSENCE: Final = timedelta(hours=24)
"""Whoever was away for so long is told of everything together."""

COALESCE_EVERY: Final = timedelta(hours=1)
"""And no more often than this."""

STALE: Final = timedelta(minutes=5)
"""What waited for so long, because the provider did not answer, is told together too."""

GRACE: Final = timedelta(seconds=75)
"""How long a device that looks connected may take to confirm: longer than a dead line goes unnoticed."""

WORTH: Final = timedelta(hours=72)
"""After that it is old news, and the message centre has it."""

MOST_TRIES: Final = 8
_FIRST_PAUSE: Final = timedelta(seconds=5)
LONGEST_REST: Final = timedelta(hours=1)
"""A push service that asks for more than this is asked again all the same."""

MESSAGE: Final = "message"
TITLE: Final = "云诊"
ONE_MESSAGE: Final = "您有一条新消息，请查看。"


class Channel(StrEnum):
    """APP: by the push provider's registration id. WEB: Web Push to a browser."""

    APP = "app"
    WEB = "web"


class RowState(StrEnum):
    """WAITING: to be looked at when due. JOINED: said by another push."""

    WAITING = "waiting"
    SENT = "sent"
    JOINED = "joined"
    DROPPED = "dropped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Subscription:
    """Where one account is reached on one device, as long as its session lives. `address` is the registration id or the
    endpoint; `p256dh` and `auth` are the browser's keys. `away_since` None while a socket of the session is open."""

    id: str
    account_id: str
    role: Role
    hospital_id: str
    device_id: str
    session_id: str
    channel: Channel
    address: str
    p256dh: str = ""
    auth: str = ""
    connected_by: tuple[str, ...] = ()
    away_since: datetime | None = None
    pushed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Reached:
    """A subscription as far as who tells something need know. `connected_by`: processes that held a socket of its session."""

    id: str
    connected_by: frozenset[str]


@dataclass(frozen=True, slots=True)
class Occasion:
    """Something that an account should hear of: `cause` is its id. `text` is one of our own sentences, never a person's. `seq`
    is that of a message: who has it needs no push."""

    cause: str
    hospital_id: str
    account_id: str
    kind: str
    text: str
    at: datetime
    order_id: str | None = None
    conversation_id: str | None = None
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One occasion for one device."""

    id: str
    subscription_id: str
    occasion: Occasion
    due_at: datetime
    looked_at: datetime | None = None
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Push:
    """What leaves us. `id` is fixed before the first try: the provider takes the same one once. Of two with one `collapse` key
    a device shows the later."""

    id: str
    title: str
    text: str
    badge: int
    collapse: str
    kind: str
    order_id: str | None
    conversation_id: str | None
    seq: int | None
    expires_in: timedelta


@dataclass(frozen=True, slots=True)
class Known:
    """What a decision looks at besides the rows. `held` are ids of rows whose message need not be told any more."""

    connected: bool
    held: frozenset[str]
    badge: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with each row: push these (all rows of a push together), look again at these then, drop these."""

    pushes: tuple[tuple[Push, tuple[Row, ...]], ...] = ()
    later: tuple[tuple[Row, datetime], ...] = ()
    dropped: tuple[Row, ...] = ()


def subscription_id_of(account_id: str, device_id: str) -> str:
    return derived_id("push_subscription", account_id, device_id)


def row_id_of(occasion: Occasion, subscription_id: str) -> str:
    """One push a cause and device, however often it is told."""
    return derived_id("push", occasion.cause, subscription_id)


def plan_pushes(subscription: Subscription, rows: Sequence[Row], known: Known, now: datetime) -> Plan:
    """Decide over all rows of one device that are due.

    Connected: nothing is pushed; after the grace it is looked at once more, since a dead line looks alive for a while. What
    some device of the account has, or what is old, is dropped. Away for long, or held up: one push speaks for all.
    """
    dropped = [row for row in rows if row.id in known.held or now - row.occasion.at >= WORTH]
    rest = [row for row in rows if row not in dropped]
    if known.connected:
        late = [row for row in rest if row.looked_at is not None]
        first = tuple((row, now + GRACE) for row in rest if row.looked_at is None)
        return Plan(later=first, dropped=(*dropped, *late))
    if not rest:
        return Plan(dropped=tuple(dropped))
    away = subscription.away_since is not None and now - subscription.away_since >= LONG_ABSENCE
    if away and subscription.pushed_at is not None and now - subscription.pushed_at < COALESCE_EVERY:
        again = subscription.pushed_at + COALESCE_EVERY
        return Plan(later=tuple((row, again) for row in rest), dropped=tuple(dropped))
    old = [row for row in rest if away or now - row.occasion.at >= STALE]
    single = [row for row in rest if row not in old]
    pushes: list[tuple[Push, tuple[Row, ...]]] = [(_single(row, known.badge), (row,)) for row in single]
    if len(old) == 1:
        pushes.insert(0, (_single(old[0], known.badge), (old[0],)))
    elif old:
        pushes.insert(0, (_together(old, known.badge), tuple(old)))
    return Plan(tuple(pushes), (), tuple(dropped))


def next_try(row: Row, now: datetime, rest: timedelta = timedelta()) -> datetime | None:
    """When to try again what the provider did not take, never before `rest` is over; None: given up."""
    if row.tries + 1 >= MOST_TRIES:
        return None
    return now + max(_FIRST_PAUSE * (1 << row.tries), rest)


def _single(row: Row, badge: int) -> Push:
    about = row.occasion
    collapse = derived_id("push_collapse", about.cause if about.seq is None else f"{about.conversation_id}:{about.seq}")
    return Push(
        id=row.id,
        title=TITLE,
        text=about.text,
        badge=badge,
        collapse=collapse,
        kind=about.kind,
        order_id=about.order_id,
        conversation_id=about.conversation_id,
        seq=about.seq,
        expires_in=WORTH,
    )


def _together(rows: Sequence[Row], badge: int) -> Push:
    """One for all; where to go is said only if all lead to the same place."""
    orders = {row.occasion.order_id for row in rows}
    conversations = {row.occasion.conversation_id for row in rows}
    return Push(
        id=derived_id("push_together", *(row.id for row in rows)),
        title=TITLE,
        text=f"您有 {len(rows)} 条新的消息与提醒，请查看。",
        badge=badge,
        collapse=derived_id("push_collapse", rows[0].subscription_id),
        kind="summary",
        order_id=orders.pop() if len(orders) == 1 else None,
        conversation_id=conversations.pop() if len(conversations) == 1 else None,
        seq=None,
        expires_in=WORTH,
    )
