"""What the service needs from the outside."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

from media.domain import Encoded, Format, MediaState, Medium, NewMedium, Owner, Rendition
from server.kernel.actor import Actor
from server.kernel.outbox import Event

MEDIA: Final = "media"
"""The collection of media, as the relay needs to know it."""


class Owners(Protocol):
    """Knows what conversations and orders show, and to whom."""

    async def may_see(self, actor: Actor, owner_kind: str, owner_id: str, media_id: str) -> bool:
        """Whether this actor is shown this medium there now. `owner_kind` is `conversation` or `order`. Recalled means no."""
        ...

    async def names(self, owner_kind: str, owner_id: str, media_id: str) -> bool:
        """Whether it names this medium anywhere, recalled or not, as of now."""
        ...


class Codecs(Protocol):
    """Decodes and encodes in processes of its own."""

    async def encode(self, data: bytes, found: Format) -> Encoded:
        """The upload made anew. Raises MediaUnsupported, MediaTooLarge, MediaDamaged, MediaDurationRefused."""
        ...

    async def close(self) -> None: ...


class MediaStore(Protocol):
    """Media and their bytes. Bytes are written first and the document last; `remove_unfinished` finds what a crash left."""

    async def add(self, new: NewMedium, upload: bytes, event: Event) -> Medium:
        """Store it. Where its id is taken already by the same upload: that medium. By another: raises IdempotencyMismatch."""
        ...

    async def find(self, media_id: str, hospital_id: str | None) -> Medium | None:
        """The medium of this hospital; with None, of any (for patients, who belong to none)."""
        ...

    async def list_of_uploader(self, account_id: str, media_ids: Collection[str]) -> Sequence[Medium]: ...

    async def count_unattached(self, account_id: str) -> tuple[int, int]:
        """How many media of this account wait to be attached, and their bytes."""
        ...

    async def attach(self, medium: Medium, owner: Owner, hospital_id: str, event: Event, *, check_at: datetime) -> bool:
        """Give it to this owner unless it has one; False when it has, or is not as `medium` says any more. `check_at`: when to
        look whether it is shown there."""
        ...

    async def read(self, medium: Medium, rendition: Rendition, start: int, stop: int) -> bytes:
        """Bytes `start` to before `stop`. Raises MediaNotFound when its key was destroyed."""
        ...

    async def list_unattached(self, before: datetime, limit: int) -> Sequence[Medium]:
        """Media of all hospitals that were uploaded before then and attached to nothing."""
        ...

    async def condemn(self, medium: Medium, event: Event) -> bool:
        """Let nobody attach or see it any more; False when it was attached meanwhile."""
        ...

    async def list_unchecked(self, now: datetime, limit: int) -> Sequence[Medium]:
        """Attached media of all hospitals that are to be looked after by now."""
        ...

    async def checked(self, medium: Medium, state: MediaState, check_at: datetime | None) -> bool:
        """What the look found, while it is as `medium` says; None: no further one."""
        ...

    async def remove_condemned(self, limit: int) -> int:
        """Delete the bytes of condemned media, and each document once its events are delivered."""
        ...

    async def remove_unfinished(self, before: datetime, limit: int) -> int:
        """Delete what uploads left that began before then and never finished."""
        ...


class Relay(Protocol):
    """Delivers the events of a document after its write."""

    def soon(self, collection: str, key: Any, hospital_id: str) -> None: ...
