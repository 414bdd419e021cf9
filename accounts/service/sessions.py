"""Sessions: opened, checked, refreshed, ended."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from accounts.domain.sessions import (
    AccessClaims,
    Device,
    Holder,
    Me,
    OpenedSession,
    RevokeReason,
    Session,
    SessionPolicy,
)
from accounts.errors import AuthInvalid, SessionNotFound
from accounts.ports import EventConsumer, SessionRepository, Tokens
from accounts.service.names import NameService
from server.kernel.actor import Actor, Role, system_actor
from server.kernel.audit import Audit, Outcome, audit_row
from server.kernel.clock import Clock
from server.kernel.errors import AuthRequired
from server.kernel.ids import is_id, new_id
from server.kernel.outbox import Event, event_of

_ALIVE_FOR_MS: Final = 1_000
_REMEMBERED: Final = 50_000
_BATCH: Final = 1_000
_DEVICES: Final = 100
_KEEP: Final = timedelta(days=180)
"""How long the trace of a session that is over stays: what the law asks of network logs."""


class Liveness:
    """Which sessions are alive, known for one second at most. Questions that come at the same moment share one query."""

    def __init__(self, sessions: SessionRepository, clock: Clock) -> None:
        self._sessions = sessions
        self._clock = clock
        self._seen_alive: OrderedDict[str, int] = OrderedDict()
        self._waiting: dict[str, asyncio.Future[bool]] = {}
        self._asker: asyncio.Task[None] | None = None

    async def is_alive(self, session_id: str) -> bool:
        """A second counts from before the query that found it alive."""
        seen = self._seen_alive.get(session_id)
        if seen is not None and 0 <= self._clock.now_ms() - seen < _ALIVE_FOR_MS:
            return True
        waiter = self._waiting.get(session_id)
        if waiter is None:
            waiter = self._waiting[session_id] = asyncio.get_running_loop().create_future()
            if self._asker is None or self._asker.done():
                self._asker = asyncio.create_task(self._ask(), name="session-liveness")
        return await asyncio.shield(waiter)

    def forget(self, session_id: str) -> None:
        """It has just ended here: ask again."""
        self._seen_alive.pop(session_id, None)

    async def _ask(self) -> None:
        """Answer all that wait; those who come while a query is under way are in the next one."""
        while self._waiting:
            batch = dict(list(self._waiting.items())[:_BATCH])
            for session_id in batch:
                del self._waiting[session_id]
            try:
                now = self._clock.now()
                now_ms = self._clock.now_ms()
                alive = await self._sessions.filter_alive(batch.keys(), now)
            except BaseException as error:
                for waiter in batch.values():
                    _fail(waiter, error)
                if not isinstance(error, Exception):
                    raise
            else:
                self._answer(batch, alive, now_ms)

    def _answer(self, batch: Mapping[str, asyncio.Future[bool]], alive: set[str], now_ms: int) -> None:
        for session_id, waiter in batch.items():
            if session_id in alive:
                self._seen_alive[session_id] = now_ms
                self._seen_alive.move_to_end(session_id)
            else:
                self._seen_alive.pop(session_id, None)
            if not waiter.done():
                waiter.set_result(session_id in alive)
        while len(self._seen_alive) > _REMEMBERED:
            self._seen_alive.popitem(last=False)


def _fail(waiter: asyncio.Future[bool], error: BaseException) -> None:
    if waiter.done():
        return
    if isinstance(error, Exception):
        waiter.set_exception(error)
        waiter.exception()  # whoever asked may have gone away
    else:
        waiter.cancel()


@dataclass(slots=True)
class SessionService:
    """`policy.idle` says by role how long a session lasts without a refresh."""

    sessions: SessionRepository
    tokens: Tokens
    names: NameService
    audit: Audit
    clock: Clock
    policy: SessionPolicy = field(default_factory=SessionPolicy)
    _liveness: Liveness = field(init=False)

    def __post_init__(self) -> None:
        self._liveness = Liveness(self.sessions, self.clock)

    async def authenticate(self, token: str, *, request_id: str, address: str | None) -> Actor:
        """Whose access token this is. Raises AuthRequired if it is not ours, expired, or its session is over."""
        return await self._actor(self.tokens.read_access(token), request_id, address)

    async def authenticate_media(self, token: str, *, request_id: str, address: str | None) -> Actor:
        """The same for the token in the cookie for media; an access token is refused here, and this one there."""
        return await self._actor(self.tokens.read_media(token), request_id, address)

    async def list_dead_sessions(self, session_ids: Collection[str]) -> set[str]:
        """Those of them that are over or unknown, by one query past all caches."""
        if not session_ids:
            return set()
        return set(session_ids) - await self.sessions.filter_alive(session_ids, self.clock.now())

    async def open_session(
        self, actor: Actor, holder: Holder, device: Device, still_good: Callable[[], Awaitable[bool]]
    ) -> OpenedSession:
        """Open a session for a holder that has just been recognised.

        `still_good` is asked after the session is stored: who was struck off in between either finds the session and ends
        it, or is found here. Raises AuthInvalid then.
        """
        now = self.clock.now()
        session = Session(
            id=new_id(),
            holder=holder,
            device=device,
            created_at=now,
            refreshed_at=now,
            expires_at=now + self.policy.idle[holder.role],
        )
        opener = _as(actor, session)
        event = event_of(
            opener, "accounts.session_opened", subject=session.id, at=now, session_id=session.id, device_id=session.device.id
        )
        await self.sessions.insert(session, event)
        if not await still_good():
            await self._revoke(session.id, holder.hospital_id, RevokeReason.NOT_AUTHORISED, opener)
            raise AuthInvalid
        return await self._tell(session, now)

    async def refresh(
        self, actor: Actor, refresh_token: str, *, device_id: str | None = None, grace: timedelta = timedelta(0)
    ) -> OpenedSession:
        """The next tokens of a session. Of two who bring the same token one wins; the other, like anyone who brings an old
        one or brings it from another device, ends the session for good. Raises AuthInvalid.

        Within `grace` of a refresh the token that it replaced is answered with the present one, which it does not advance.
        """
        try:
            claim = self.tokens.read_refresh(refresh_token)
        except AuthRequired:
            raise AuthInvalid from None
        session, now = await self.sessions.find(claim.session_id), self.clock.now()
        if session is None:
            raise AuthInvalid
        holder = _as(actor, session)
        at_home = device_id in (None, session.device.id)
        if session.is_alive(now) and session.generation == claim.generation and at_home:
            advanced = self._advanced(session, now)
            event = event_of(holder, "accounts.session_refreshed", subject=session.id, at=now)
            if await self.sessions.advance(session, advanced, event, now):
                return await self._tell(advanced, now)
            if grace:  # another was first
                session = await self.sessions.find(session.id) or session
        if grace and at_home and session.is_alive(now) and session.has_just_replaced(claim.generation, now, grace):
            return await self._tell(session, now)
        await self._refuse_refresh(holder, session)
        raise AuthInvalid

    async def close_current(self, actor: Actor) -> None:
        """Sign this session out."""
        if actor.session_id is not None:
            await self._revoke(actor.session_id, actor.hospital_id, RevokeReason.SIGNED_OUT, actor)

    async def close_other(self, actor: Actor, session_id: str) -> None:
        """Sign another device of the same account out. Raises SessionNotFound for what is not theirs or is over."""
        session = await self.sessions.find(session_id) if is_id(session_id) else None
        if session is None or session.holder.account_id != actor.account_id:
            subject = session_id if is_id(session_id) else "session"
            now = self.clock.now()
            await self.audit.record(
                audit_row(actor, "accounts.session_revoked", subject=subject, at=now, outcome=Outcome.DENIED)
            )
            raise SessionNotFound
        if not await self._revoke(session_id, actor.hospital_id, RevokeReason.SIGNED_OUT_ELSEWHERE, actor):
            raise SessionNotFound

    async def get_me(self, actor: Actor) -> Me:
        """The account and its devices, the latest first."""
        now = self.clock.now()
        devices = await self.sessions.list_alive(actor.account_id, actor.hospital_id, now, _DEVICES)
        return Me(actor.account_id, actor.role, await self.names.get_name(actor.account_id), tuple(devices))

    async def end_stale_sessions(
        self,
        actor: Actor,
        account_id: str,
        hospital_id: str,
        credentials: int,
        reason: RevokeReason,
        *,
        keep: str | None = None,
    ) -> None:
        """End what was opened with older credentials; `keep` is the session that brought the new ones."""
        if keep is not None:
            await self.sessions.renew_credentials(keep, account_id, credentials)
        ended = await self.sessions.revoke_stale(
            account_id, hospital_id, credentials, reason, actor=actor, now=self.clock.now()
        )
        for session_id in ended:
            self._liveness.forget(session_id)

    async def tidy(self) -> None:
        """Forget sessions that have been over for half a year."""
        await self.sessions.tidy(self.clock.now() - _KEEP)

    def consumers(self) -> Mapping[str, EventConsumer]:
        """What to call for which event, so that a crash between a change and the end of its sessions leaves none alive."""
        return {
            "accounts.doctor_phone_changed": self._credentials_changed,
            "accounts.doctor_removed": self._credentials_changed,
            "accounts.password_changed": self._credentials_changed,
            "accounts.password_reset": self._credentials_changed,
            "accounts.staff_changed": self._credentials_changed,
            "accounts.staff_credentials_renewed": self._credentials_changed,
            "accounts.staff_disabled": self._credentials_changed,
            "accounts.session_revoked": self._session_revoked,
        }

    async def _credentials_changed(self, event: Event) -> None:
        password = event.action in ("accounts.password_changed", "accounts.password_reset")
        await self.end_stale_sessions(
            system_actor(event.hospital_id, request_id=event.request_id),
            event.subject,
            event.hospital_id,
            int(event.data["credentials"]),
            RevokeReason.PASSWORD_CHANGED if password else RevokeReason.NOT_AUTHORISED,
            keep=event.data.get("kept_session_id"),
        )

    async def _session_revoked(self, event: Event) -> None:
        self._liveness.forget(event.subject)

    async def _actor(self, claims: AccessClaims, request_id: str, address: str | None) -> Actor:
        if self.clock.now_ms() >= claims.expires_at_ms or not await self._liveness.is_alive(claims.session_id):
            raise AuthRequired
        return Actor(
            account_id=claims.account_id,
            role=claims.role,
            hospital_id=claims.hospital_id,
            request_id=request_id,
            session_id=claims.session_id,
            device_id=claims.device_id,
            address=address,
            staff_roles=claims.staff_roles,
        )

    async def _tell(self, session: Session, now: datetime) -> OpenedSession:
        return OpenedSession(
            session=session,
            name=await self.names.get_name(session.holder.account_id),
            access_token=self.tokens.access(session, now=now, life=self.policy.access_life),
            access_life=self.policy.access_life,
            refresh_token=self.tokens.refresh(session),
            refresh_life=session.expires_at - now,
            media_token=self.tokens.media(session, now=now),
        )

    def _advanced(self, session: Session, now: datetime) -> Session:
        return replace(
            session,
            generation=session.generation + 1,
            refreshed_at=now,
            expires_at=now + self.policy.idle[session.holder.role],
        )

    async def _refuse_refresh(self, holder: Actor, session: Session) -> None:
        """A token of ours that is not the present one: somebody has a copy. Nobody keeps the session."""
        await self._revoke(session.id, holder.hospital_id, RevokeReason.TOKEN_REUSED, holder)
        now = self.clock.now()
        row = audit_row(holder, "accounts.session_refused", subject=session.id, at=now, outcome=Outcome.DENIED)
        await self.audit.record(row)

    async def _revoke(self, session_id: str, hospital_id: str, reason: RevokeReason, actor: Actor) -> bool:
        revoked = await self.sessions.revoke(session_id, hospital_id, reason, actor=actor, now=self.clock.now())
        self._liveness.forget(session_id)
        return revoked


def _as(actor: Actor, session: Session) -> Actor:
    """The holder of this session, in the actor's request."""
    holder = session.holder
    return replace(
        actor,
        account_id=holder.account_id,
        role=Role(holder.role),
        hospital_id=holder.hospital_id,
        session_id=session.id,
        device_id=session.device.id,
        staff_roles=holder.staff_roles,
    )
