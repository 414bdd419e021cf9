"""The list of authorised doctors and its departments."""

from dataclasses import dataclass

from accounts.domain.doctors import DoctorChanges, DoctorDetails, DoctorQuery
from accounts.errors import (
    DoctorNotFound,
    DoctorPhoneTaken,
    DoctorStaffNumberTaken,
)
from accounts.service import (
    DoctorService,
)
from accounts.wire import (
    AuthorisedDoctorAnswer,
    DepartmentAnswer,
    DoctorBody,
    DoctorChangeBody,
    DoctorListQuery,
)
from server.kernel.actor import DEFAULT_HOSPITAL, PLATFORM, Actor
from server.kernel.edge import SIGNED_IN, STAFF, Call, Route
from server.kernel.wire import Page


@dataclass(frozen=True, slots=True)
class Doctors:
    doctors: DoctorService

    def routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/departments",
                name="list_departments",
                summary="The hospital's departments.",
                roles=SIGNED_IN,
                handler=self.list_departments,
                answer=Page[DepartmentAnswer],
                tag="doctors",
            ),
            Route(
                method="GET",
                path="/admin/doctors",
                name="list_authorised_doctors",
                summary="The hospital's authorised list.",
                roles=STAFF,
                handler=self.list_doctors,
                query=DoctorListQuery,
                answer=Page[AuthorisedDoctorAnswer],
                tag="admin",
            ),
            Route(
                method="POST",
                path="/admin/doctors",
                name="add_doctor",
                summary="Put a doctor on the authorised list.",
                roles=STAFF,
                handler=self.add,
                body=DoctorBody,
                answer=AuthorisedDoctorAnswer,
                status=201,
                errors=(DoctorPhoneTaken, DoctorStaffNumberTaken),
                tag="admin",
            ),
            Route(
                method="PATCH",
                path="/admin/doctors/{doctor_id}",
                name="change_doctor",
                summary="Change a doctor; another phone ends the doctor's sessions at once.",
                roles=STAFF,
                handler=self.change,
                body=DoctorChangeBody,
                answer=AuthorisedDoctorAnswer,
                errors=(DoctorNotFound, DoctorPhoneTaken, DoctorStaffNumberTaken),
                tag="admin",
            ),
            Route(
                method="DELETE",
                path="/admin/doctors/{doctor_id}",
                name="remove_doctor",
                summary="Take a doctor off the authorised list; the doctor's sessions end at once.",
                roles=STAFF,
                handler=self.remove,
                status=204,
                errors=(DoctorNotFound,),
                tag="admin",
            ),
        ]

    async def list_departments(self, call: Call) -> Page[DepartmentAnswer]:
        departments = await self.doctors.list_departments(_hospital(call.actor))
        return Page[DepartmentAnswer](items=[DepartmentAnswer.of(department) for department in departments])

    async def list_doctors(self, call: Call) -> Page[AuthorisedDoctorAnswer]:
        asked: DoctorListQuery = call.query
        query = DoctorQuery(department_id=asked.department_id, q=asked.q, limit=asked.limit, cursor=asked.cursor)
        page = await self.doctors.list_with_phones(call.actor, query)
        items = [AuthorisedDoctorAnswer.of(listed) for listed in page.items]
        return Page[AuthorisedDoctorAnswer](items=items, next_cursor=page.next_cursor)

    async def add(self, call: Call) -> AuthorisedDoctorAnswer:
        body: DoctorBody = call.body
        details = DoctorDetails(
            body.name, body.title, body.department_id, body.good_at, body.fee_fen, body.phone, body.staff_number
        )
        return AuthorisedDoctorAnswer.of(await self.doctors.add_doctor(call.actor, call.seed_id, details))

    async def change(self, call: Call) -> AuthorisedDoctorAnswer:
        body: DoctorChangeBody = call.body
        changes = DoctorChanges(
            body.name, body.title, body.department_id, body.good_at, body.fee_fen, body.phone, body.staff_number
        )
        return AuthorisedDoctorAnswer.of(await self.doctors.change_doctor(call.actor, call.path["doctor_id"], changes))

    async def remove(self, call: Call) -> None:
        await self.doctors.remove_doctor(call.actor, call.path["doctor_id"])


def _hospital(actor: Actor) -> str:
    """A patient belongs to the platform and sees the default hospital."""
    return DEFAULT_HOSPITAL if actor.hospital_id == PLATFORM else actor.hospital_id
