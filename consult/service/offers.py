"""What quick consults cost, and who of a department takes orders at this moment."""

from dataclasses import dataclass, replace
from typing import Final

from accounts.domain.doctors import Department, Doctor, DoctorQuery
from accounts.errors import DepartmentNotFound
from consult.domain.quick import MOST_TOLD, QUICK_PRICES, QuickPrice
from consult.errors import OrderDoctorUnavailable
from consult.ports import DeskRepository, Doctors, Outboxes, QuickPriceRepository
from server.kernel.actor import DEFAULT_HOSPITAL, PLATFORM, Actor, Role, StaffRole
from server.kernel.audit import Audit, Outcome, audit_row
from server.kernel.clock import Clock
from server.kernel.errors import Forbidden, Unavailable
from server.kernel.ids import is_id
from server.kernel.outbox import event_of

PRICE_VIEWED: Final = "consult.quick_price_viewed"
PRICE_CHANGED: Final = "consult.quick_price_changed"
_PRICE_ROLES: Final = frozenset({StaffRole.MEDICAL_ADMIN, StaffRole.OPERATOR})
_PAGE: Final = 100
_TRIES: Final = 20


@dataclass(frozen=True, slots=True)
class QuickOffer:
    """A department that can be asked, and how many of its doctors take orders at this moment."""

    department: Department
    fee_fen: int
    doctors: int


@dataclass(slots=True)
class FreeDoctors:
    """Who of a department takes orders now: on the list, and by their own switch and hours."""

    doctors: Doctors
    desks: DeskRepository
    clock: Clock

    async def list_free(self, hospital_id: str, department_id: str) -> list[Doctor]:
        """At most `MOST_TOLD`."""
        query: DoctorQuery | None = DoctorQuery(hospital_id, department_id=department_id, limit=_PAGE)
        free: list[Doctor] = []
        while query is not None and len(free) < MOST_TOLD:
            page = await self.doctors.list_doctors(query)
            settings = await self.desks.find_settings_of(hospital_id, [doctor.id for doctor in page.items])
            now = self.clock.now()
            free += [doctor for doctor in page.items if settings[doctor.id].takes_orders_at(now)]
            query = None if page.next_cursor is None else replace(query, cursor=page.next_cursor)
        return free[:MOST_TOLD]

    async def is_free(self, doctor: Doctor) -> bool:
        settings = await self.desks.find_settings(doctor.hospital_id, doctor.id)
        return doctor.active and settings.takes_orders_at(self.clock.now())


@dataclass(slots=True)
class QuickOffers:
    """Prices by department. Without one a department takes no quick consults."""

    prices: QuickPriceRepository
    doctors: Doctors
    free: FreeDoctors
    audit: Audit
    relay: Outboxes
    clock: Clock

    async def list_offers(self, actor: Actor) -> list[QuickOffer]:
        """Departments that can be asked, in the order of their list."""
        hospital_id = DEFAULT_HOSPITAL if actor.hospital_id == PLATFORM else actor.hospital_id
        prices = {price.department_id: price.fee_fen for price in await self.prices.list_of(hospital_id)}
        offers = []
        for department in await self.doctors.list_departments(hospital_id):
            if (fee_fen := prices.get(department.id)) is not None:
                free = await self.free.list_free(hospital_id, department.id)
                offers.append(QuickOffer(department, fee_fen, len(free)))
        return offers

    async def get_offer(self, department_id: str, hospital_id: str = DEFAULT_HOSPITAL) -> QuickOffer:
        """What an order would cost now. Raises DepartmentNotFound, OrderDoctorUnavailable where nobody would take it."""
        department = await self.doctors.get_department(hospital_id, department_id)
        fee_fen = (await self.prices.find(hospital_id, department_id)).fee_fen
        free = await self.free.list_free(hospital_id, department_id)
        if fee_fen is None or not free:
            raise OrderDoctorUnavailable
        return QuickOffer(department, fee_fen, len(free))

    async def view_price(self, actor: Actor, department_id: str) -> QuickPrice:
        """Raises Forbidden, DepartmentNotFound."""
        await self._require(actor, PRICE_VIEWED, department_id)
        return await self.prices.find(actor.hospital_id, department_id)

    async def set_price(self, actor: Actor, department_id: str, fee_fen: int | None) -> QuickPrice:
        """For orders that are made from now on. Raises Forbidden, DepartmentNotFound."""
        await self._require(actor, PRICE_CHANGED, department_id)
        for _ in range(_TRIES):
            old = await self.prices.find(actor.hospital_id, department_id)
            new = replace(old, fee_fen=fee_fen, version=old.version + 1)
            event = event_of(
                actor, PRICE_CHANGED, subject=department_id, at=self.clock.now(), fee_fen=fee_fen, version=new.version
            )
            if await self.prices.save(new, event):
                self.relay.soon(QUICK_PRICES, department_id, actor.hospital_id)
                return new
        raise Unavailable

    async def _require(self, actor: Actor, action: str, department_id: str) -> None:
        subject = department_id if is_id(department_id) else "department"
        now = self.clock.now()
        try:
            if actor.role is not Role.SYSTEM and (actor.role is not Role.STAFF or actor.staff_roles.isdisjoint(_PRICE_ROLES)):
                raise Forbidden
            await self.doctors.get_department(actor.hospital_id, department_id)
        except (Forbidden, DepartmentNotFound):
            await self.audit.record(audit_row(actor, action, subject=subject, at=now, outcome=Outcome.DENIED))
            raise
        if action == PRICE_VIEWED:
            await self.audit.record(audit_row(actor, action, subject=subject, at=now))
