"""What of accounts crosses the network."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from accounts.domain.codes import CodeRequested, Purpose
from accounts.domain.consents import Consent, Language
from accounts.domain.doctors import FEE_MAX_FEN, Department, ListedDoctor
from accounts.domain.identity import IdType, Sex, mask_number
from accounts.domain.patients import Guardian, Patient
from accounts.domain.people import PASSWORD_MAX, PASSWORD_MIN, StaffAccount
from accounts.domain.phones import PHONE_PATTERN, mask_phone
from accounts.domain.renewals import Renewal
from accounts.domain.sessions import Me, OpenedSession, Session
from server.kernel.actor import Role, StaffRole
from server.kernel.wire import CleanText, Id, Instant, OneLine, PageQuery, QueryModel, WireModel

Phone = Annotated[str, Field(pattern=PHONE_PATTERN)]
Code = Annotated[str, Field(pattern=r"^[0-9]{4,8}$")]
Name = Annotated[OneLine, Field(max_length=60)]
IdNumber = Annotated[OneLine, Field(max_length=32)]
DeviceId = Annotated[OneLine, Field(max_length=128)]
DeviceName = Annotated[OneLine, Field(max_length=128)]
Password = Annotated[CleanText, Field(min_length=1, max_length=PASSWORD_MAX)]
NewPassword = Annotated[CleanText, Field(min_length=PASSWORD_MIN, max_length=PASSWORD_MAX)]
StaffNumber = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,15}$")]
GoodAt = Annotated[CleanText, Field(max_length=500)]
FeeFen = Annotated[int, Field(ge=1, le=FEE_MAX_FEN)]


class SmsCodeBody(WireModel):
    phone: Phone
    purpose: Purpose


class SmsCodeAnswer(WireModel):
    retry_after_seconds: int
    expires_in_seconds: int

    @classmethod
    def of(cls, requested: CodeRequested) -> Self:
        return cls(retry_after_seconds=requested.retry_after_seconds, expires_in_seconds=requested.expires_in_seconds)


class PatientSessionBody(WireModel):
    """Either a code or a password."""

    phone: Phone
    code: Code | None = None
    password: Password | None = None
    device_id: DeviceId
    device_name: DeviceName
    refresh_in_cookie: bool = False

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.code is None) == (self.password is None):
            raise ValueError("takes either code or password")
        return self


class DoctorSessionBody(WireModel):
    phone: Phone
    code: Code
    device_id: DeviceId
    device_name: DeviceName
    refresh_in_cookie: bool = False


class StaffSessionBody(WireModel):
    username: Annotated[OneLine, Field(max_length=64)]
    password: Password
    totp: Code
    device_id: DeviceId
    device_name: DeviceName
    refresh_in_cookie: bool = False


class RefreshBody(WireModel):
    """With `device_id` the token is good from that device only, and its session ends where it comes from another."""

    refresh_token: Annotated[str, Field(min_length=1, max_length=500)]
    device_id: DeviceId | None = None


class CookieRefreshBody(WireModel):
    """The token is in the cookie of this role."""

    role: Literal["patient", "doctor", "staff"]
    device_id: DeviceId


class AccountAnswer(WireModel):
    account_id: Id
    role: Role
    name: str


class SessionAnswer(WireModel):
    """`refresh_token` is null where the session asked for it in a cookie, which no script can read."""

    access_token: str
    expires_in_seconds: int
    refresh_token: str | None
    refresh_expires_in_seconds: int
    account: AccountAnswer
    device_id: str

    @classmethod
    def of(cls, opened: OpenedSession, *, in_cookie: bool = False) -> Self:
        holder = opened.session.holder
        return cls(
            access_token=opened.access_token,
            expires_in_seconds=int(opened.access_life.total_seconds()),
            refresh_token=None if in_cookie else opened.refresh_token,
            refresh_expires_in_seconds=int(opened.refresh_life.total_seconds()),
            account=AccountAnswer(account_id=holder.account_id, role=holder.role, name=opened.name),
            device_id=opened.session.device.id,
        )


class DeviceAnswer(WireModel):
    """One session; `current` is the one that asks."""

    session_id: Id
    device_id: str
    device_name: str
    signed_in_at: Instant
    last_used_at: Instant
    current: bool

    @classmethod
    def of(cls, session: Session, current: str | None) -> Self:
        return cls(
            session_id=session.id,
            device_id=session.device.id,
            device_name=session.device.name,
            signed_in_at=session.created_at,
            last_used_at=session.refreshed_at,
            current=session.id == current,
        )


class MeAnswer(WireModel):
    account_id: Id
    role: Role
    name: str
    devices: Sequence[DeviceAnswer]

    @classmethod
    def of(cls, me: Me, current: str | None) -> Self:
        devices = [DeviceAnswer.of(session, current) for session in me.devices]
        return cls(account_id=me.account_id, role=me.role, name=me.name, devices=devices)


class PasswordBody(WireModel):
    """`current_password` is needed where there is one already; else the `code` of an SMS for `reset_password`."""

    password: NewPassword
    current_password: Password | None = None
    code: Code | None = None


class PasswordResetBody(WireModel):
    phone: Phone
    code: Code
    password: NewPassword


class StaffBody(WireModel):
    """The one-time code's secret is made here and told once, in the answer."""

    username: Annotated[OneLine, Field(max_length=64)]
    name: Name
    password: NewPassword
    roles: Annotated[Sequence[StaffRole], Field(min_length=1, max_length=len(StaffRole))]


class StaffChangeBody(WireModel):
    """What is not named, or null, stays."""

    name: Name | None = None
    roles: Annotated[Sequence[StaffRole], Field(min_length=1, max_length=len(StaffRole))] | None = None


class StaffCredentialsBody(WireModel):
    password: NewPassword


class StaffRenewalDecisionBody(WireModel):
    agrees: bool


class StaffRenewalAnswer(WireModel):
    """Somebody asked to renew what a member signs in with; `agreed_by` of the other office, null until then."""

    renewal_id: Id
    asked_by: Id
    asked_at: Instant
    agreed_by: Id | None
    agreed_at: Instant | None


class StaffAnswer(WireModel):
    """`renewal`: the request that stands, null where there is none or its time is over."""

    account_id: Id
    username: str
    name: str
    roles: Sequence[StaffRole]
    active: bool
    renewal: StaffRenewalAnswer | None

    @classmethod
    def of(cls, account: StaffAccount) -> Self:
        return cls(**_staff(account))


class NewStaffAnswer(StaffAnswer):
    """With the base32 secret for the member's authenticator, which is never told again."""

    totp_secret: str

    @classmethod
    def of(cls, account: StaffAccount) -> Self:
        return cls(**_staff(account), totp_secret=account.totp_secret)


def _renewal(renewal: Renewal) -> StaffRenewalAnswer:
    values = asdict(renewal)
    return StaffRenewalAnswer(renewal_id=values.pop("id"), **values)


def _staff(account: StaffAccount) -> dict[str, Any]:
    return {
        "account_id": account.id,
        "username": account.username,
        "name": account.name,
        "roles": sorted(account.roles),
        "active": account.active,
        "renewal": None if account.renewal is None else _renewal(account.renewal),
    }


class DepartmentAnswer(WireModel):
    id: Id
    name: str

    @classmethod
    def of(cls, department: Department) -> Self:
        return cls(id=department.id, name=department.name)


class GuardianBody(WireModel):
    name: Name
    id_number: IdNumber

    def guardian(self) -> Guardian:
        return Guardian(self.name, self.id_number)


class PatientBody(WireModel):
    """`birth_date` and `sex` are for documents whose number says neither; a resident's must agree with the number."""

    name: Name
    id_type: IdType
    id_number: IdNumber
    phone: Phone
    guardian: GuardianBody | None = None
    birth_date: date | None = None
    sex: Sex | None = None
    default: bool = False


class PatientChangeBody(WireModel):
    """What is not named stays; `guardian: null` takes the guardian away where none is needed."""

    name: Name | None = None
    id_type: IdType | None = None
    id_number: IdNumber | None = None
    phone: Phone | None = None
    guardian: GuardianBody | None = None
    birth_date: date | None = None
    sex: Sex | None = None
    default: bool | None = None


class GuardianAnswer(WireModel):
    name: str
    id_number: str


class PatientAnswer(WireModel):
    """Numbers are masked."""

    id: Id
    name: str
    id_type: IdType
    id_number: str
    phone: str
    sex: Sex
    birth_date: date | None
    guardian: GuardianAnswer | None
    default: bool

    @classmethod
    def of(cls, patient: Patient) -> Self:
        guardian = patient.guardian
        return cls(
            id=patient.id,
            name=patient.name,
            id_type=patient.id_type,
            id_number=mask_number(patient.id_number),
            phone=mask_phone(patient.phone),
            sex=patient.sex,
            birth_date=patient.birth_date,
            guardian=None
            if guardian is None
            else GuardianAnswer(name=guardian.name, id_number=mask_number(guardian.id_number)),
            default=patient.is_default,
        )


class ConsentQuery(QueryModel):
    version: Annotated[str, Field(max_length=40)] | None = None
    language: Language = Language.ZH


class ConsentAnswer(WireModel):
    version: str
    title: str
    text: str
    sha256: str
    language: Language

    @classmethod
    def of(cls, consent: Consent) -> Self:
        return cls(
            version=consent.version,
            title=consent.title,
            text=consent.text,
            sha256=consent.sha256,
            language=consent.language,
        )


class DoctorListQuery(PageQuery):
    department_id: Id | None = None
    q: Annotated[str, Field(max_length=60)] | None = None


class DoctorBody(WireModel):
    name: Name
    title: Annotated[OneLine, Field(max_length=60)]
    department_id: Id
    good_at: GoodAt = ""
    fee_fen: FeeFen
    phone: Phone
    staff_number: StaffNumber | None = None


class DoctorChangeBody(WireModel):
    """What is not named, or null, stays."""

    name: Name | None = None
    title: Annotated[OneLine, Field(max_length=60)] | None = None
    department_id: Id | None = None
    good_at: GoodAt | None = None
    fee_fen: FeeFen | None = None
    phone: Phone | None = None
    staff_number: StaffNumber | None = None


class AuthorisedDoctorAnswer(WireModel):
    """A doctor as administrators see them; the phone is masked. `staff_number` is the one that marks on pages carry: the
    hospital's own, or one of ours where none was stated."""

    id: Id
    name: str
    title: str
    department: DepartmentAnswer
    good_at: str
    fee_fen: int
    phone: str
    staff_number: str

    @classmethod
    def of(cls, listed: ListedDoctor) -> Self:
        doctor = listed.doctor
        return cls(
            id=doctor.id,
            name=doctor.name,
            title=doctor.title,
            department=DepartmentAnswer(id=doctor.department_id, name=doctor.department_name),
            good_at=doctor.good_at,
            fee_fen=doctor.fee_fen,
            phone=mask_phone(listed.phone),
            staff_number=doctor.staff_number,
        )
