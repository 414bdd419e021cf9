"""What critical values need from the outside."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from ehr_view.critical.domain import CriticalValue, People
from ehr_view.domain.records import PatientRef, Record
from ehr_view.hl7.domain import Identity
from server.kernel.outbox import Event


class CriticalValues(Protocol):
    """Critical values as stored. Each write carries its own guard and its event, and says whether it took effect."""

    async def insert(self, value: CriticalValue, event: Event) -> bool:
        """Unless it is there."""
        ...

    async def find(self, value_id: str) -> CriticalValue | None: ...

    async def save(self, value: CriticalValue, event: Event) -> bool:
        """While the stored version is the one before."""
        ...

    async def list_of_record(self, hospital_id: str, record_id: str) -> Sequence[CriticalValue]:
        """Those of one report that can still be withdrawn."""
        ...

    async def list_beside(self, value: CriticalValue, within: timedelta) -> Sequence[CriticalValue]:
        """Itself, if it is stored; those of its report that can still be withdrawn; and those of the person's reports that are
        dated so near to it, both ends among them; bounded."""
        ...

    async def list_of_account(
        self, account_id: str, *, limit: int, after: tuple[datetime, str] | None
    ) -> Sequence[CriticalValue]:
        """Those that the account was told of, newest first."""
        ...

    def due(self, now: datetime) -> AsyncIterator[CriticalValue]:
        """Those whose time is over, the longest due first."""
        ...


class CriticalPeople(Protocol):
    async def find_people(self, hospital_id: str, identity: Identity, names: tuple[str, ...]) -> People:
        """Whom a result of this person concerns now: decided on freshly read logs. A number alone is not enough: the name must
        be one of these, where there are any."""
        ...


@dataclass(frozen=True, slots=True)
class Watched:
    """An open order whose patient agrees that records are asked for."""

    order_id: str
    patient: PatientRef


class WatchedPeople(Protocol):
    async def list_watched(self, hospital_id: str, *, limit: int) -> Sequence[Watched]:
        """For whose results the hospital may be asked now."""
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """That something of this patient (the hospital's own id) is new or another. `token` names it in this very form; `at`: when
    it changed, by the hospital's clock, where it says so."""

    patient_id: str
    token: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class FoundLabs:
    """Laboratory reports of the last days. `dead_ids`: reports that were taken back. Not `is_whole`: something may be missing
    that was there before, so that nothing follows from what is not said."""

    records: tuple[Record, ...] = ()
    dead_ids: tuple[str, ...] = ()
    is_whole: bool = True


class LabFeed(Protocol):
    """A hospital that is asked again and again what is new. Raises RecordSourceUnavailable; nothing takes longer than 3 s."""

    async def find_ids(self, patient: PatientRef) -> tuple[str, ...]:
        """The hospital's own ids of this person. Raises RecordIdentityMismatch."""
        ...

    async def list_changes(self, patient_ids: Sequence[str], since: datetime) -> Sequence[Change]:
        """What changed of any of these since then."""
        ...

    async def fetch_labs(self, hospital_id: str, patient_ids: Sequence[str], since: datetime) -> FoundLabs:
        """All of one person's results that were taken since then."""
        ...


class Alarms(Protocol):
    """Tells people. Every method does a thing once, however often it is called for the same value; none says anything of
    health."""

    async def tell(self, value: CriticalValue) -> None:
        """A notice to each, stored and live."""
        ...

    async def text_doctors(self, value: CriticalValue, at: datetime) -> None: ...

    async def open_task(self, value: CriticalValue, at: datetime) -> None: ...

    async def withdraw_task(self, value: CriticalValue) -> None: ...


class Live(Protocol):
    def send(self, account_ids: Iterable[str], event: str, payload: Mapping[str, Any]) -> None: ...


class Outboxes(Protocol):
    def soon(self, collection: str, key: Any, hospital_id: str) -> None: ...
