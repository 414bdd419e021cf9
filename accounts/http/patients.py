"""Whom one asks for, and what one agrees to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from accounts.domain.patients import PatientDetails
from accounts.errors import (
    ConsentNotFound,
    PatientDuplicate,
    PatientLimitReached,
    PatientNotFound,
)
from accounts.service import (
    ConsentService,
    PatientService,
)
from accounts.wire import (
    ConsentAnswer,
    ConsentQuery,
    PatientAnswer,
    PatientBody,
    PatientChangeBody,
)
from server.kernel.actor import DEFAULT_HOSPITAL, PLATFORM, Actor
from server.kernel.edge import PATIENT, SIGNED_IN, Call, Route
from server.kernel.wire import Page


@dataclass(frozen=True, slots=True)
class Patients:
    patients: PatientService

    def routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/patients",
                name="list_patients",
                summary="The account's patients, the default first.",
                roles=PATIENT,
                handler=self.list,
                answer=Page[PatientAnswer],
                tag="patients",
            ),
            Route(
                method="POST",
                path="/patients",
                name="add_patient",
                summary="Add a patient; a child needs a guardian.",
                roles=PATIENT,
                handler=self.add,
                body=PatientBody,
                answer=PatientAnswer,
                status=201,
                errors=(PatientDuplicate, PatientLimitReached),
                tag="patients",
            ),
            Route(
                method="PATCH",
                path="/patients/{patient_id}",
                name="change_patient",
                summary="Change a patient, or make it the default.",
                roles=PATIENT,
                handler=self.change,
                body=PatientChangeBody,
                answer=PatientAnswer,
                errors=(PatientNotFound, PatientDuplicate),
                tag="patients",
            ),
            Route(
                method="DELETE",
                path="/patients/{patient_id}",
                name="remove_patient",
                summary="Remove a patient from the account.",
                roles=PATIENT,
                handler=self.remove,
                status=204,
                errors=(PatientNotFound,),
                tag="patients",
            ),
        ]

    async def list(self, call: Call) -> Page[PatientAnswer]:
        patients = await self.patients.list_patients(call.actor)
        return Page[PatientAnswer](items=[PatientAnswer.of(patient) for patient in patients])

    async def add(self, call: Call) -> PatientAnswer:
        body: PatientBody = call.body
        details = PatientDetails(
            name=body.name,
            id_type=body.id_type,
            id_number=body.id_number,
            phone=body.phone,
            guardian=None if body.guardian is None else body.guardian.guardian(),
            birth_date=body.birth_date,
            sex=body.sex,
        )
        patient = await self.patients.add_patient(call.actor, call.seed_id, details, make_default=body.default)
        return PatientAnswer.of(patient)

    async def change(self, call: Call) -> PatientAnswer:
        body: PatientChangeBody = call.body
        patient = await self.patients.change_patient(
            call.actor, call.path["patient_id"], lambda old: _changed(old, body), body.default
        )
        return PatientAnswer.of(patient)

    async def remove(self, call: Call) -> None:
        await self.patients.remove_patient(call.actor, call.path["patient_id"])


@dataclass(frozen=True, slots=True)
class Consents:
    consents: ConsentService

    def routes(self) -> Sequence[Route]:
        return [
            Route(
                method="GET",
                path="/consents/{kind}",
                name="get_consent",
                summary="The consent text in force, or the version asked for.",
                roles=SIGNED_IN,
                handler=self.get,
                query=ConsentQuery,
                answer=ConsentAnswer,
                errors=(ConsentNotFound,),
                tag="consents",
            )
        ]

    async def get(self, call: Call) -> ConsentAnswer:
        query: ConsentQuery = call.query
        kind = call.path["kind"]
        if query.version is None:
            return ConsentAnswer.of(await self.consents.current(kind, query.language))
        return ConsentAnswer.of(await self.consents.get(kind, query.version, query.language))


def _hospital(actor: Actor) -> str:
    """A patient belongs to the platform and sees the default hospital."""
    return DEFAULT_HOSPITAL if actor.hospital_id == PLATFORM else actor.hospital_id


def _changed(old: PatientDetails, body: PatientChangeBody) -> PatientDetails:
    """What the client named, over what was there. With another number, sex and date of birth are what that number says."""
    named = body.model_fields_set
    identity_changes = (body.id_type, body.id_number) != (None, None)
    sex = None if identity_changes else old.sex
    birth_date = None if identity_changes else old.birth_date
    return replace(
        old,
        name=body.name if body.name is not None else old.name,
        id_type=body.id_type if body.id_type is not None else old.id_type,
        id_number=body.id_number if body.id_number is not None else old.id_number,
        phone=body.phone if body.phone is not None else old.phone,
        guardian=old.guardian if "guardian" not in named else body.guardian.guardian() if body.guardian else None,
        birth_date=body.birth_date if body.birth_date is not None else birth_date,
        sex=body.sex if body.sex is not None else sex,
    )
