"""The routes of accounts: parse, one service method, map."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from pydantic import BaseModel

from accounts.domain.doctors import DoctorChanges, DoctorDetails, DoctorQuery
from accounts.domain.patients import PatientDetails
from accounts.domain.sessions import (
    MEDIA_COOKIE,
    MEDIA_COOKIE_PATH,
    REFRESH_COOKIE_PATH,
    REFRESH_GRACE,
    Device,
    OpenedSession,
    refresh_cookie_of,
)
from accounts.errors import (
    AuthCodeRequired,
    AuthInvalid,
    AuthLocked,
    ConsentNotFound,
    DoctorNotFound,
    DoctorPhoneTaken,
    DoctorStaffNumberTaken,
    OriginRefused,
    PatientDuplicate,
    PatientLimitReached,
    PatientNotFound,
    PhoneNotAuthorised,
    SessionNotFound,
)
from accounts.service import (
    CodeService,
    ConsentService,
    DoctorService,
    PasswordService,
    PatientService,
    SessionService,
    SignInService,
    StaffService,
)
from accounts.staff_http import staff_routes
from accounts.wire import (
    AuthorisedDoctorAnswer,
    ConsentAnswer,
    ConsentQuery,
    CookieRefreshBody,
    DepartmentAnswer,
    DoctorBody,
    DoctorChangeBody,
    DoctorListQuery,
    DoctorSessionBody,
    MeAnswer,
    PasswordBody,
    PasswordResetBody,
    PatientAnswer,
    PatientBody,
    PatientChangeBody,
    PatientSessionBody,
    RefreshBody,
    SessionAnswer,
    SmsCodeAnswer,
    SmsCodeBody,
    StaffSessionBody,
)
from server.kernel.actor import DEFAULT_HOSPITAL, PLATFORM, Actor, Role
from server.kernel.edge import ANYONE, PATIENT, SIGNED_IN, STAFF, Call, Cookie, Handler, Idempotency, Reply, Route
from server.kernel.errors import RequestRateLimited
from server.kernel.wire import Page


def routes(
    codes: CodeService,
    sign_in: SignInService,
    sessions: SessionService,
    passwords: PasswordService,
    doctors: DoctorService,
    patients: PatientService,
    consents: ConsentService,
    staff: StaffService,
) -> list[Route]:
    """All routes of this package. `GET /doctors` is the product's own: it knows who accepts orders."""
    return [
        *_SignIn(codes, sign_in, sessions, passwords).routes(),
        *_Account(sessions, passwords).routes(),
        *_Doctors(doctors).routes(),
        *_Patients(patients).routes(),
        *_Consents(consents).routes(),
        *staff_routes(staff),
    ]


def _session_reply(opened: OpenedSession, status: int, *, in_cookie: bool = False) -> Reply:
    """The session as JSON, and its cookie for media; the refresh token in the one or in a cookie of its own."""
    seconds = int(opened.refresh_life.total_seconds())
    cookies = [Cookie(MEDIA_COOKIE, opened.media_token, MEDIA_COOKIE_PATH, seconds)]
    if in_cookie:
        name = refresh_cookie_of(opened.session.holder.role)
        cookies.append(Cookie(name, opened.refresh_token, REFRESH_COOKIE_PATH, seconds))
    return Reply(body=SessionAnswer.of(opened, in_cookie=in_cookie), status=status, cookies=tuple(cookies))


def _require_own_page(call: Call) -> None:
    """Cookies come by themselves, whichever page asks: only one of this server may. Browsers name a POST's page always."""
    try:
        page = urlsplit(call.request.headers.get("Origin", "")).netloc
    except ValueError:
        page = ""
    if not page or page != call.request.host:
        raise OriginRefused


@dataclass(frozen=True, slots=True)
class _SignIn:
    codes: CodeService
    sign_in: SignInService
    sessions: SessionService
    passwords: PasswordService

    def routes(self) -> list[Route]:
        return [
            Route(
                method="POST",
                path="/auth/sms-codes",
                name="request_sms_code",
                summary="Send a code to a phone; the answer does not tell whether the phone is known.",
                roles=ANYONE,
                handler=self.request_code,
                body=SmsCodeBody,
                answer=SmsCodeAnswer,
                status=202,
                idempotency=Idempotency.NONE,
                errors=(RequestRateLimited,),
                tag="auth",
            ),
            self._opening("patient", PatientSessionBody, self.open_patient, "Sign a patient in; the first code registers."),
            self._opening("doctor", DoctorSessionBody, self.open_doctor, "Sign a doctor in whose phone is authorised."),
            self._opening("staff", StaffSessionBody, self.open_staff, "Sign a member of staff in."),
            Route(
                method="POST",
                path="/auth/refresh",
                name="refresh_session",
                summary="The next tokens of a session; a token that was used before ends it.",
                roles=ANYONE,
                handler=self.refresh,
                body=RefreshBody,
                answer=SessionAnswer,
                idempotency=Idempotency.NONE,
                errors=(AuthInvalid,),
                tag="auth",
            ),
            Route(
                method="POST",
                path="/auth/cookie/refresh",
                name="refresh_session_by_cookie",
                summary="The next tokens of a session whose refresh token is in a cookie; for pages of this server alone.",
                roles=ANYONE,
                handler=self.refresh_by_cookie,
                body=CookieRefreshBody,
                answer=SessionAnswer,
                idempotency=Idempotency.NONE,
                errors=(AuthInvalid, OriginRefused),
                tag="auth",
            ),
            Route(
                method="POST",
                path="/auth/password-reset",
                name="reset_password",
                summary="Set a password by an SMS code; all sessions of the account end.",
                roles=ANYONE,
                handler=self.reset_password,
                body=PasswordResetBody,
                status=204,
                idempotency=Idempotency.NONE,
                errors=(AuthInvalid, AuthLocked),
                tag="auth",
            ),
        ]

    def _opening(self, who: str, body: type[BaseModel], handler: Handler, summary: str) -> Route:
        return Route(
            method="POST",
            path=f"/auth/{who}/sessions",
            name=f"open_{who}_session",
            summary=summary,
            roles=ANYONE,
            handler=handler,
            body=body,
            answer=SessionAnswer,
            status=201,
            idempotency=Idempotency.NONE,
            errors=(AuthInvalid, AuthLocked, OriginRefused, *([PhoneNotAuthorised] if who == "doctor" else [])),
            tag="auth",
        )

    async def request_code(self, call: Call) -> SmsCodeAnswer:
        body: SmsCodeBody = call.body
        return SmsCodeAnswer.of(await self.codes.request_code(call.actor, body.phone, body.purpose))

    async def open_patient(self, call: Call) -> Reply:
        body: PatientSessionBody = call.body
        if body.refresh_in_cookie:
            _require_own_page(call)
        device = Device(body.device_id, body.device_name)
        if body.code is not None:
            opened = await self.sign_in.open_patient_by_code(call.actor, body.phone, body.code, device)
        else:
            opened = await self.sign_in.open_patient_by_password(call.actor, body.phone, body.password or "", device)
        return _session_reply(opened, 201, in_cookie=body.refresh_in_cookie)

    async def open_doctor(self, call: Call) -> Reply:
        body: DoctorSessionBody = call.body
        if body.refresh_in_cookie:
            _require_own_page(call)
        device = Device(body.device_id, body.device_name)
        opened = await self.sign_in.open_doctor(call.actor, body.phone, body.code, device)
        return _session_reply(opened, 201, in_cookie=body.refresh_in_cookie)

    async def open_staff(self, call: Call) -> Reply:
        body: StaffSessionBody = call.body
        if body.refresh_in_cookie:
            _require_own_page(call)
        device = Device(body.device_id, body.device_name)
        opened = await self.sign_in.open_staff(call.actor, body.username, body.password, body.totp, device)
        return _session_reply(opened, 201, in_cookie=body.refresh_in_cookie)

    async def refresh(self, call: Call) -> Reply:
        body: RefreshBody = call.body
        opened = await self.sessions.refresh(call.actor, body.refresh_token, device_id=body.device_id)
        return _session_reply(opened, 200)

    async def refresh_by_cookie(self, call: Call) -> Reply:
        body: CookieRefreshBody = call.body
        _require_own_page(call)
        token = call.request.cookies.get(refresh_cookie_of(Role(body.role)), "")
        opened = await self.sessions.refresh(call.actor, token, device_id=body.device_id, grace=REFRESH_GRACE)
        return _session_reply(opened, 200, in_cookie=True)

    async def reset_password(self, call: Call) -> None:
        body: PasswordResetBody = call.body
        await self.passwords.reset_password(call.actor, body.phone, body.code, body.password)


@dataclass(frozen=True, slots=True)
class _Account:
    sessions: SessionService
    passwords: PasswordService

    def routes(self) -> list[Route]:
        return [
            Route(
                method="DELETE",
                path="/auth/sessions/current",
                name="close_session",
                summary="Sign out; the session's sockets are closed.",
                roles=SIGNED_IN,
                handler=self.close_current,
                status=204,
                idempotency=Idempotency.NONE,
                tag="auth",
            ),
            Route(
                method="GET",
                path="/me",
                name="get_me",
                summary="The account that asks, and its devices.",
                roles=SIGNED_IN,
                handler=self.get_me,
                answer=MeAnswer,
                tag="account",
            ),
            Route(
                method="PUT",
                path="/me/password",
                name="change_password",
                summary="Set or change the password; the account's other sessions end.",
                roles=PATIENT,
                handler=self.change_password,
                body=PasswordBody,
                status=204,
                idempotency=Idempotency.NONE,
                errors=(AuthCodeRequired, AuthInvalid, AuthLocked),
                tag="account",
            ),
            Route(
                method="DELETE",
                path="/me/sessions/{session_id}",
                name="close_other_session",
                summary="Sign another device of this account out.",
                roles=SIGNED_IN,
                handler=self.close_other,
                status=204,
                errors=(SessionNotFound,),
                tag="account",
            ),
        ]

    async def close_current(self, call: Call) -> Reply:
        await self.sessions.close_current(call.actor)
        media = Cookie(MEDIA_COOKIE, "", MEDIA_COOKIE_PATH, 0)
        refresh = Cookie(refresh_cookie_of(call.actor.role), "", REFRESH_COOKIE_PATH, 0)
        return Reply(status=204, cookies=(media, refresh))

    async def get_me(self, call: Call) -> MeAnswer:
        return MeAnswer.of(await self.sessions.get_me(call.actor), call.actor.session_id)

    async def change_password(self, call: Call) -> None:
        body: PasswordBody = call.body
        await self.passwords.change_password(call.actor, body.password, body.current_password, body.code)

    async def close_other(self, call: Call) -> None:
        await self.sessions.close_other(call.actor, call.path["session_id"])


@dataclass(frozen=True, slots=True)
class _Doctors:
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


@dataclass(frozen=True, slots=True)
class _Patients:
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
class _Consents:
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
