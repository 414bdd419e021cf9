"""Offline push: who is reached where, what waits for a device, and sending it."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import structlog

from im.domain import Receipt
from im.push.domain import (
    GRACE,
    LONGEST_REST,
    WORTH,
    Channel,
    Known,
    Occasion,
    Plan,
    Reached,
    Row,
    RowState,
    Subscription,
    next_try,
    plan_pushes,
    row_id_of,
    subscription_id_of,
)
from im.push.ports import Answer, MarkReader, OpenConversations, Provider, RowRepository, SubscriptionRepository, Taken
from server.kernel.actor import Actor, Role
from server.kernel.audit import Audit, audit_row
from server.kernel.clock import Clock
from server.kernel.errors import RequestInvalid
from server.kernel.ids import new_id
from server.kernel.jobs import JobQueue
from server.kernel.outbox import Event

log = structlog.get_logger(__name__)

SEND: Final = "im.send_pushes"
_LEASE: Final = timedelta(seconds=60)
_ROWS_AT_ONCE: Final = 100
_SWEEP_LIMIT: Final = 1_000
_AT_ONCE: Final = 10
_BADGE_CONVERSATIONS: Final = 50
_KEEP: Final = timedelta(days=7)
"""Longer than an occasion is worth a push, so that one that is told again finds its row."""


@dataclass(slots=True)
class _Done:
    """How many pushes left, and for how long the provider then wanted no more for this device."""

    pushed: int = 0
    rest: timedelta = timedelta()


@dataclass(slots=True)
class PushService:
    """`providers` by channel. `web_hosts` are the browsers' push services that we know: a client names the address that we
    connect to, so it must be one of those. `*.x.y` stands for every host below it."""

    subscriptions: SubscriptionRepository
    rows: RowRepository
    providers: Mapping[Channel, Provider]
    marks: MarkReader
    directory: OpenConversations
    queue: JobQueue
    audit: Audit
    clock: Clock
    web_hosts: Collection[str]

    # --- who is reached where ---

    async def session_opened(self, event: Event) -> None:
        """`accounts.session_opened`: a patient's or doctor's app is reached under its device's id, until it says otherwise."""
        role, device_id = Role(event.role), event.data.get("device_id")
        if role in (Role.PATIENT, Role.DOCTOR) and device_id is not None:
            await self.subscriptions.save(
                Subscription(
                    id=subscription_id_of(event.account_id, device_id),
                    account_id=event.account_id,
                    role=role,
                    hospital_id=event.hospital_id,
                    device_id=device_id,
                    session_id=event.subject,
                    channel=Channel.APP,
                    address=device_id,
                    away_since=self.clock.now(),
                )
            )

    async def session_revoked(self, event: Event) -> None:
        """`accounts.session_revoked`: whoever signed out is told nothing more."""
        await self.subscriptions.remove_session(event.data["session_id"])

    async def subscribe_app(self, actor: Actor, registration_id: str) -> Subscription:
        """Reach this device under the provider's registration id."""
        return await self._subscribe(actor, Channel.APP, registration_id)

    async def subscribe_web(self, actor: Actor, *, host: str, endpoint: str, p256dh: str, auth: str) -> Subscription:
        """Reach this browser. Raises RequestInvalid for an endpoint that is not one of the push services that we know."""
        if not any(host == known or (known.startswith("*.") and host.endswith(known[1:])) for known in self.web_hosts):
            raise RequestInvalid(endpoint="is not a push service that is known here")
        return await self._subscribe(actor, Channel.WEB, endpoint, p256dh, auth)

    async def unsubscribe(self, actor: Actor) -> None:
        """Push nothing to this device until it subscribes again, or somebody signs in there."""
        if actor.device_id is not None:
            await self.subscriptions.remove(subscription_id_of(actor.account_id, actor.device_id))
            await self._record(actor, "im.push_unsubscribed")

    # --- telling ---

    async def tell(self, occasions: Sequence[Occasion]) -> None:
        """Let these wait for all devices of their accounts; a worker sends them. Twice is once.

        A device that is connected has them already, or soon: it is looked at when its line ends, or after the grace; of what is
        told of one conversation at once the last message speaks for all, since whoever has it has those before.
        """
        now = self.clock.now()
        fresh = [occasion for occasion in occasions if now - occasion.at < WORTH]
        if not fresh:
            return
        found = await self.subscriptions.list_reached({each.account_id for each in fresh})
        alive = await self.subscriptions.alive_processes(now)

        def row_of(occasion: Occasion, reached: Reached) -> Row:
            row = Row(row_id_of(occasion, reached.id), reached.id, occasion, now)
            return row if alive.isdisjoint(reached.connected_by) else replace(row, due_at=now + GRACE, looked_at=now)

        rows = _without_earlier([row_of(occasion, reached) for occasion in fresh for reached in found[occasion.account_id]])
        await self.rows.insert(rows)
        for subscription_id in {row.subscription_id for row in rows if row.looked_at is None}:
            self.queue.request(SEND, subscription_id)

    async def hasten(self, subscription_ids: Sequence[str]) -> None:
        """These devices just went: what waited to see whether they are alive is looked at now."""
        await self.rows.hasten(subscription_ids, self.clock.now())
        for subscription_id in subscription_ids:
            self.queue.request(SEND, subscription_id)

    # --- sending ---

    async def send_due(self, subscription_id: str) -> int:
        """Decide over what is due for one device, and send it. One worker at a time; returns how many pushes left."""
        now = self.clock.now()
        rows = await self.rows.list_due(subscription_id, now, _ROWS_AT_ONCE)
        if not rows:
            return 0
        if await self.subscriptions.find(subscription_id) is None:
            await self.rows.finish(rows, RowState.DROPPED)
            return 0
        subscription = await self.subscriptions.claim(subscription_id, now=now, until=now + _LEASE)
        if subscription is None:
            return 0
        done = _Done()
        try:
            rows = await self.rows.list_due(subscription_id, now, _ROWS_AT_ONCE)
            plan = plan_pushes(subscription, rows, await self._known(subscription, rows), now)
            await self._carry_out(subscription, plan, done)
        finally:
            await self.subscriptions.release(
                subscription_id, pushed_at=now if done.pushed else None, resting_until=now + done.rest if done.rest else None
            )
        return done.pushed

    async def sweep(self) -> int:
        """Send whatever is due for anyone: what a lost hint left, what is tried again, what waited."""
        due = await self.rows.list_due_subscriptions(self.clock.now(), _SWEEP_LIMIT)
        room = asyncio.Semaphore(_AT_ONCE)

        async def quietly(subscription_id: str) -> int:
            async with room:
                try:
                    return await self.send_due(subscription_id)
                except Exception as error:  # one device's trouble must not keep the others from their pushes
                    log.warning("push.failed", subscription_id=subscription_id, error=type(error).__name__, exc_info=True)
                    return 0

        return sum(await asyncio.gather(*map(quietly, due)))

    async def tidy(self) -> None:
        await self.rows.tidy(self.clock.now() - _KEEP)

    async def _carry_out(self, subscription: Subscription, plan: Plan, done: _Done) -> None:
        await self.rows.finish(plan.dropped, RowState.DROPPED)
        for row, due_at in plan.later:
            await self.rows.postpone(row, due_at, looked_at=self.clock.now())
        for push, rows in plan.pushes:
            answer = await self.providers[subscription.channel].push(subscription, push)
            log.info("push.tried", push_id=push.id, subscription_id=subscription.id, taken=answer.taken.value, rows=len(rows))
            done.pushed += answer.taken is Taken.ACCEPTED
            done.rest = min(answer.retry_after or timedelta(), LONGEST_REST)
            if not await self._settle(subscription, rows, answer, done.rest):
                break

    async def _settle(self, subscription: Subscription, rows: Sequence[Row], answer: Answer, rest: timedelta) -> bool:
        """Write down what became of a push. False: nothing more can be sent there now."""
        match answer.taken:
            case Taken.ACCEPTED:
                await self.rows.finish(rows[-1:], RowState.SENT)
                await self.rows.finish(rows[:-1], RowState.JOINED)
            case Taken.REFUSED:
                await self.rows.finish(rows, RowState.FAILED)
            case Taken.GONE:
                await self.subscriptions.remove(subscription.id, address=subscription.address)
                await self.rows.finish(rows, RowState.DROPPED)
                return False
            case Taken.LATER:
                await self._try_later(rows, rest)
                return False
        return True

    async def _try_later(self, rows: Sequence[Row], rest: timedelta) -> None:
        now = self.clock.now()
        for row in rows:
            due_at = next_try(row, now, rest)
            if due_at is None:
                await self.rows.finish([row], RowState.FAILED)
            else:
                await self.rows.postpone(row, due_at, tried=True)

    async def _known(self, subscription: Subscription, rows: Sequence[Row]) -> Known:
        """What decides besides the rows: the sockets, how far the account got, and its badge."""
        account_id = subscription.account_id
        actor = Actor(account_id, subscription.role, subscription.hospital_id, new_id())
        conversations = await self.directory.list_open_conversations(actor, _BADGE_CONVERSATIONS)
        of_rows = [row.occasion.conversation_id for row in rows if row.occasion.conversation_id is not None]
        marks = await self.marks.marks_of(account_id, list(dict.fromkeys([*of_rows, *conversations])), fresh=True)
        own = {
            conversation_id: receipt
            for conversation_id, each in marks.items()
            for receipt in each.receipts
            if receipt.account_id == account_id
        }
        held = frozenset(row.id for row in rows if _is_held(row, own.get(row.occasion.conversation_id or "")))
        alive = await self.subscriptions.alive_processes(self.clock.now()) if subscription.connected_by else frozenset()
        connected = not alive.isdisjoint(subscription.connected_by)
        return Known(connected, held, sum(each.unread for each in marks.values()))

    async def _subscribe(self, actor: Actor, channel: Channel, address: str, p256dh: str = "", auth: str = "") -> Subscription:
        if actor.device_id is None or actor.session_id is None:
            raise RequestInvalid(device="is not known of this session")
        made = Subscription(
            id=subscription_id_of(actor.account_id, actor.device_id),
            account_id=actor.account_id,
            role=actor.role,
            hospital_id=actor.hospital_id,
            device_id=actor.device_id,
            session_id=actor.session_id,
            channel=channel,
            address=address,
            p256dh=p256dh,
            auth=auth,
            away_since=self.clock.now(),
        )
        await self.subscriptions.save(made)
        await self._record(actor, "im.push_subscribed")
        return made

    async def _record(self, actor: Actor, action: str) -> None:
        await self.audit.record(audit_row(actor, action, subject=actor.session_id or "session", at=self.clock.now()))


def _without_earlier(rows: Sequence[Row]) -> list[Row]:
    """Of the messages of one conversation that wait for one connected device, only the last."""
    last: dict[tuple[str, str | None], int] = {}
    for row in rows:
        if row.looked_at is not None and row.occasion.seq is not None:
            place = row.subscription_id, row.occasion.conversation_id
            last[place] = max(last.get(place, 0), row.occasion.seq)
    return [
        row
        for row in rows
        if row.looked_at is None
        or row.occasion.seq is None
        or row.occasion.seq == last[row.subscription_id, row.occasion.conversation_id]
    ]


def _is_held(row: Row, receipt: Receipt | None) -> bool:
    """Read on any device; or delivered, where this very device was connected when it came."""
    seq = row.occasion.seq
    if seq is None or receipt is None:
        return False
    return receipt.read_seq >= seq or (row.looked_at is not None and receipt.delivered_seq >= seq)
