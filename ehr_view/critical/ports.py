"""What critical values need from the outside."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from ehr_view.critical.domain import CriticalValue, People
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

    async def list_of_person(
        self, hospital_id: str, identity: Identity, since: datetime, until: datetime
    ) -> Sequence[CriticalValue]:
        """Those of this person's reports of that time, both ends among them; bounded."""
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
