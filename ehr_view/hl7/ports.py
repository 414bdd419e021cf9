"""What the intake needs from the outside."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from ehr_view.domain.records import Record
from ehr_view.hl7.domain import HeldMessage, HeldRecord, Identity, PersonFacts, StoredForm, Version

MOST_RECORDS = 2_000
"""Held records of one person that are shown; the newest."""


class Messages(Protocol):
    """Messages as kept: accepted ones to know them again, failed ones for repair. All of it sealed."""

    async def find(self, hospital_id: str, message_id: str) -> HeldMessage | None:
        """Without its data."""
        ...

    async def read(self, hospital_id: str, message_id: str) -> HeldMessage | None:
        """With its data."""
        ...

    async def accept(self, message: HeldMessage) -> None:
        """Keep it as accepted, whatever it was before."""
        ...

    async def fail(self, message: HeldMessage) -> bool:
        """Keep it for repair, unless it was accepted; again: one try more. False when there is no room for it."""
        ...

    async def drop(self, hospital_id: str, message_id: str) -> bool:
        """Throw away the data of a failed one; False when there is none."""
        ...

    async def list_failed(self, hospital_id: str, *, limit: int) -> Sequence[HeldMessage]:
        """Oldest first, without data."""
        ...


class HeldRecords(Protocol):
    """Records that came, by person; and whose the hospital's own numbers are."""

    async def put(self, hospital_id: str, identity: Identity, held: HeldRecord, version: Version, *, withdrawn: bool) -> bool:
        """Keep the newer of it and what is there, whichever comes first. False: what is there is newer."""
        ...

    async def find_form(self, hospital_id: str, record_id: str) -> StoredForm | None:
        """What is held of it now."""
        ...

    async def withdraw(self, hospital_id: str, record_ids: Sequence[str], version: Version) -> None:
        """Show those of them no longer that are not newer than this."""
        ...

    async def list_of(self, hospital_id: str, identity: Identity, *, limit: int = MOST_RECORDS) -> Sequence[HeldRecord]:
        """Newest first; withdrawn ones are not among them."""
        ...

    async def stamp(self, hospital_id: str, identity: Identity) -> str:
        """Something that is another text after each change of what `list_of` gives."""
        ...

    async def find_cards(self, hospital_id: str, cards: Sequence[str]) -> frozenset[Identity]:
        """Whose the hospital's own numbers are, as far as that is known."""
        ...

    async def give_cards(self, hospital_id: str, identity: Identity, cards: Sequence[str], sent_at: datetime) -> None:
        """These numbers, and all records that came under them, are this person's, unless a newer message said otherwise."""
        ...


class Critical(Protocol):
    """Takes what may not wait. Twice is once."""

    async def consider(
        self, hospital_id: str, identity: Identity, person: PersonFacts, record: Record, *, withdrawn: bool = False
    ) -> bool:
        """Whether anything was raised or withdrawn by it."""
        ...
