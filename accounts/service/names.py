"""What accounts are called. A patient's account has the name of its default patient, else a stated one, else a masked phone."""

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from accounts.domain.phones import mask_phone
from accounts.ports import DoctorRepository, PatientAccountRepository, PatientRepository, StaffRepository
from server.kernel.actor import DEFAULT_HOSPITAL
from server.kernel.clock import Clock

_REMEMBERED: Final = 20_000


@dataclass(slots=True)
class NameService:
    """`im.ports.Names`. Names are remembered for `fresh_for`, since each message asks for its sender's."""

    accounts: PatientAccountRepository
    patients: PatientRepository
    doctors: DoctorRepository
    staff: StaffRepository
    clock: Clock
    hospital_id: str = DEFAULT_HOSPITAL
    fresh_for: timedelta = timedelta(seconds=5)
    _known: OrderedDict[str, tuple[int, str]] = field(default_factory=OrderedDict, init=False)

    async def find_names(self, account_ids: Collection[str]) -> Mapping[str, str]:
        """Names by account; unknown ids are missing."""
        now, life = self.clock.now_ms(), self.fresh_for // timedelta(milliseconds=1)
        names: dict[str, str] = {}
        for account_id in account_ids:
            known = self._known.get(account_id)
            if known is not None and 0 <= now - known[0] < life:
                names[account_id] = known[1]
        missing = set(account_ids) - names.keys()
        if missing:
            found = await self._look_up(missing)
            self._remember(found, now)
            names |= found
        return names

    async def get_name(self, account_id: str) -> str:
        """The name as it is now; empty for an account that is unknown. Not remembered: who signs in for the first time is about
        to say what the account's patient is called."""
        return (await self._look_up({account_id})).get(account_id, "")

    async def _look_up(self, account_ids: set[str]) -> dict[str, str]:
        doctors = await self.doctors.find_many(account_ids)
        names = {doctor.id: doctor.name for doctor in doctors.values()}
        if left := account_ids - names.keys():
            names |= await self.patients.list_default_names(self.hospital_id, left)
        if left := account_ids - names.keys():
            accounts = await self.accounts.list_named(left)
            names |= {account.id: account.name or mask_phone(account.phone) for account in accounts.values()}
        if left := account_ids - names.keys():
            names |= await self.staff.list_named(left)
        return names

    def _remember(self, names: Mapping[str, str], now_ms: int) -> None:
        for account_id, name in names.items():
            self._known[account_id] = (now_ms, name)
            self._known.move_to_end(account_id)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
