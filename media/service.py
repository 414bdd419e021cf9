"""Use cases: upload, attach, link, fetch, clean up.

A patient's upload belongs to no hospital until it is attached; attaching gives it the hospital of its conversation or order,
and seals its key anew under it. Until then only its uploader sees it; from then on only its owner says who does, and is
asked at every link and every fetch.
"""

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NoReturn

import structlog

from media.admission import Admission
from media.domain import (
    GONE,
    LAPSED_FOR,
    LINK_TTL,
    MAIN_RENDITION,
    MAX_UNATTACHED,
    MAX_UNATTACHED_BYTES,
    MAX_UPLOAD_BYTES,
    UNATTACHED_FOR,
    UNFINISHED_FOR,
    UNSHOWN_FOR,
    MediaKind,
    MediaState,
    Medium,
    NewMedium,
    Owner,
    OwnerKind,
    Purpose,
    Rendition,
    StoredRendition,
    may_attach,
)
from media.errors import MediaDamaged, MediaLinkRefused, MediaNotFound, MediaTooLarge, MediaUnattachedFull, MediaUnsupported
from media.formats import sniff
from media.links import LinkSigner
from media.ports import MEDIA, Codecs, MediaStore, Owners, Relay
from server.kernel.actor import Actor, Role, system_actor
from server.kernel.audit import Audit, Outcome, audit_row
from server.kernel.clock import Clock
from server.kernel.errors import RequestInvalid
from server.kernel.ids import is_id
from server.kernel.outbox import event_of

log = structlog.get_logger(__name__)

_SWEEP_LIMIT: Final = 500
_TOO_MANY_RETRY_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class Link:
    """Permission for one account to fetch one rendition of one medium for a while."""

    media_id: str
    rendition: Rendition
    token: str
    expires_in_seconds: int


@dataclass(frozen=True, slots=True)
class Content:
    """What may be fetched now: where it is, what it is, how long it is."""

    medium: Medium
    rendition: Rendition
    stored: StoredRendition


class MediaService:
    """See the module. `owners` decides who sees what is attached; `admission` bounds the uploads in memory."""

    def __init__(
        self,
        store: MediaStore,
        codecs: Codecs,
        owners: Owners,
        links: LinkSigner,
        audit: Audit,
        relay: Relay,
        clock: Clock,
        admission: Admission | None = None,
        unattached_bytes: int = MAX_UNATTACHED_BYTES,
    ) -> None:
        self._store = store
        self._codecs = codecs
        self._owners = owners
        self._links = links
        self._audit = audit
        self._relay = relay
        self._clock = clock
        self._admission = admission or Admission()
        self._unattached_bytes = unattached_bytes

    def admit(self, actor: Actor, announced_bytes: int | None) -> AbstractContextManager[None]:
        """Room in memory for one upload, to be held while it arrives and is worked on. Raises RequestRateLimited."""
        return self._admission.admit(actor, announced_bytes)

    async def upload(self, actor: Actor, media_id: str, purpose: Purpose, data: bytes) -> Medium:
        """Keep an upload, made anew, until it is attached or a day has passed.

        The same id with the same content gives the medium that is there. Raises MediaUnsupported, MediaTooLarge,
        MediaDamaged, MediaDurationRefused, MediaUnattachedFull, IdempotencyMismatch; then nothing is kept.
        """
        if len(data) > MAX_UPLOAD_BYTES:
            raise MediaTooLarge(max_bytes=MAX_UPLOAD_BYTES)
        if not data:
            raise MediaDamaged()
        if (found := sniff(data)) is None:
            raise MediaUnsupported()
        count, size = await self._store.count_unattached(actor.account_id)
        if count >= MAX_UNATTACHED or size >= self._unattached_bytes:
            raise MediaUnattachedFull(retry_after_seconds=_TOO_MANY_RETRY_SECONDS)
        encoded = await self._codecs.encode(data, found)
        now = self._clock.now()
        event = event_of(
            actor, "media.uploaded", subject=media_id, at=now, kind=encoded.kind.value, purpose=purpose.value, bytes=len(data)
        )
        new = NewMedium(media_id, actor.hospital_id, actor.account_id, purpose, encoded, created_at=now)
        medium = await self._store.add(new, data, event)
        self._relay.soon(MEDIA, medium.id, medium.hospital_id)
        return medium

    async def claim_for_conversation(
        self, actor: Actor, hospital_id: str, conversation_id: str, kinds_by_media_id: Mapping[str, str]
    ) -> None:
        """Attach media to a conversation, each as `image` or `voice`. Implements `im`'s media gate.

        All or, as far as nobody races, none. Twice is once. Raises MediaNotFound when one is not this actor's to attach,
        of another kind, or elsewhere.
        """
        await self._claim(actor, hospital_id, Owner(OwnerKind.CONVERSATION, conversation_id), kinds_by_media_id)

    async def claim_for_order(self, actor: Actor, hospital_id: str, order_id: str, media_ids: Collection[str]) -> None:
        """Attach pictures to an order. As `claim_for_conversation`."""
        await self._claim(actor, hospital_id, Owner(OwnerKind.ORDER, order_id), dict.fromkeys(media_ids, MediaKind.IMAGE))

    async def create_link(self, actor: Actor, media_id: str, rendition: Rendition | None) -> Link:
        """A link to a medium that this actor may see, good for a minute. Raises MediaNotFound; RequestInvalid when it has no
        such rendition."""
        medium = await self._access(actor, media_id, "media.viewed")
        chosen = rendition or MAIN_RENDITION[medium.kind]
        if chosen not in medium.renditions:
            raise RequestInvalid(rendition="is not one that this medium has")
        now = self._clock.now()
        await self._audit.record(
            audit_row(
                actor,
                "media.viewed",
                subject=medium.id,
                at=now,
                order_id=_order_id(medium.owner),
                hospital_id=medium.hospital_id,
            )
        )
        token = self._links.sign(actor.account_id, medium.id, chosen.value, now)
        return Link(medium.id, chosen, token, int(LINK_TTL.total_seconds()))

    async def access_content(self, actor: Actor, media_id: str, rendition: str, token: str) -> Content:
        """What a link leads to, if it is this actor's and not over, and the actor may still see it.

        Raises MediaLinkRefused before anything is looked up, MediaNotFound after.
        """
        if not self._links.holds(token, actor.account_id, media_id, rendition, self._clock.now()):
            raise MediaLinkRefused()
        medium = await self._access(actor, media_id, "media.fetched")
        chosen = Rendition(rendition)
        return Content(medium, chosen, medium.renditions[chosen])

    async def read(self, content: Content, start: int, stop: int) -> bytes:
        """Bytes `start` to before `stop` of what `access_content` allowed."""
        return await self._store.read(content.medium, content.rendition, start, stop)

    async def read_attached(
        self, hospital_id: str, owner_kind: str, owner_id: str, media_id: str, *, most_bytes: int
    ) -> tuple[str, bytes] | None:
        """MIME type and bytes of what an owner has, for the product itself: whoever calls has asked who may see the owner.

        None where it is not that owner's, its bytes were destroyed, or there are more of them.
        """
        medium = await self._store.find(media_id, hospital_id) if is_id(media_id) else None
        if medium is None or medium.owner != Owner(OwnerKind(owner_kind), owner_id) or medium.state in GONE:
            return None
        rendition = MAIN_RENDITION[medium.kind]
        stored = medium.renditions[rendition]
        if stored.bytes > most_bytes:
            return None
        try:
            return stored.mime, await self._store.read(medium, rendition, 0, stored.bytes)
        except MediaNotFound:
            return None

    async def remove_unattached(self) -> None:
        """Remove media that nobody attached within a day. An event says so before the document goes."""
        now = self._clock.now()
        for medium in await self._store.list_unattached(now - UNATTACHED_FOR, _SWEEP_LIMIT):
            event = event_of(system_actor(medium.hospital_id), "media.removed", subject=medium.id, at=now)
            if await self._store.condemn(medium, event):
                self._relay.soon(MEDIA, medium.id, medium.hospital_id)
        if removed := await self._store.remove_condemned(_SWEEP_LIMIT):
            log.info("media.unattached_removed", count=removed)

    async def remove_unshown(self) -> None:
        """Remove media that were attached and then shown nowhere, since the message or the order that named them failed.

        In two steps, so that none is lost that a log names: first nobody may use it any more; what was under way then has
        ended when it is looked for once more, and only then its bytes go.
        """
        now = self._clock.now()
        lapsed = 0
        for medium in await self._store.list_unchecked(now, _SWEEP_LIMIT):
            try:
                lapsed += await self._look_after(medium, now)
            except Exception as error:  # one owner that cannot be asked keeps no other from being looked after
                log.warning("media.owner_not_asked", media_id=medium.id, error=type(error).__name__)
                await self._store.checked(medium, medium.state, now + LAPSED_FOR)
        if lapsed:
            log.info("media.lapsed", count=lapsed)

    async def _look_after(self, medium: Medium, now: datetime) -> bool:
        """Whether it lapsed now."""
        if medium.owner is None:
            return False
        if await self._owners.names(medium.owner.kind.value, medium.owner.id, medium.id):
            await self._store.checked(medium, MediaState.ATTACHED, None)
            return False
        if medium.state is MediaState.ATTACHED:
            return await self._store.checked(medium, MediaState.LAPSED, now + LAPSED_FOR)
        event = event_of(system_actor(medium.hospital_id), "media.removed", subject=medium.id, at=now)
        if await self._store.condemn(medium, event):
            self._relay.soon(MEDIA, medium.id, medium.hospital_id)
        return False

    async def remove_unfinished(self) -> None:
        """Remove the bytes of uploads that a crash cut short."""
        if removed := await self._store.remove_unfinished(self._clock.now() - UNFINISHED_FOR, _SWEEP_LIMIT):
            log.info("media.unfinished_removed", count=removed)

    async def close(self) -> None:
        """End the worker processes."""
        await self._codecs.close()

    async def _claim(self, actor: Actor, hospital_id: str, owner: Owner, kinds_by_media_id: Mapping[str, str]) -> None:
        own = await self._store.list_of_uploader(actor.account_id, [m for m in kinds_by_media_id if is_id(m)])
        by_id = {medium.id: medium for medium in own}
        for media_id, kind in kinds_by_media_id.items():
            medium = by_id.get(media_id)
            if medium is None or not may_attach(medium, actor.account_id, kind, owner):
                await self._deny(actor, "media.claimed", media_id, hospital_id, _order_id(owner))
        for medium in own:
            if medium.owner is None and not await self._attach(actor, hospital_id, owner, medium):
                await self._deny(actor, "media.claimed", medium.id, hospital_id, _order_id(owner))

    async def _attach(self, actor: Actor, hospital_id: str, owner: Owner, medium: Medium) -> bool:
        """Attach one. Lost to another claim for the same owner is as good as won."""
        now = self._clock.now()
        event = event_of(
            actor,
            "media.claimed",
            subject=medium.id,
            at=now,
            order_id=_order_id(owner),
            hospital_id=hospital_id,
            owner_kind=owner.kind.value,
            owner_id=owner.id,
        )
        if await self._store.attach(medium, owner, hospital_id, event, check_at=now + UNSHOWN_FOR):
            self._relay.soon(MEDIA, medium.id, hospital_id)
            return True
        winner = await self._store.find(medium.id, hospital_id)
        return winner is not None and winner.owner == owner

    async def _access(self, actor: Actor, media_id: str, action: str) -> Medium:
        """The medium, if this actor may see it now; missing and forbidden are one answer, and both are audited."""
        medium = None
        if is_id(media_id):
            hospital_id = None if actor.role is Role.PATIENT else actor.hospital_id
            medium = await self._store.find(media_id, hospital_id)
        if medium is None:
            await self._deny(actor, action, media_id, actor.hospital_id, None)
        if not await self._may_see(actor, medium):
            await self._deny(actor, action, media_id, medium.hospital_id, _order_id(medium.owner))
        return medium

    async def _may_see(self, actor: Actor, medium: Medium) -> bool:
        if medium.state in GONE:
            return False
        if medium.owner is None:
            return medium.account_id == actor.account_id
        return await self._owners.may_see(actor, medium.owner.kind.value, medium.owner.id, medium.id)

    async def _deny(self, actor: Actor, action: str, media_id: str, hospital_id: str, order_id: str | None) -> NoReturn:
        """Audit a refusal and raise it. What has not the form of an id is somebody's text, and is not written down."""
        await self._audit.record(
            audit_row(
                actor,
                action,
                subject=media_id if is_id(media_id) else MEDIA,
                at=self._clock.now(),
                order_id=order_id,
                outcome=Outcome.DENIED,
                hospital_id=hospital_id,
            )
        )
        raise MediaNotFound()


def _order_id(owner: Owner | None) -> str | None:
    return owner.id if owner is not None and owner.kind is OwnerKind.ORDER else None
