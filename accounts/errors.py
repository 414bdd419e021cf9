"""What accounts refuse, by stable code."""

from server.kernel.errors import DomainError, ErrorKind


class AuthInvalid(DomainError):
    code = "auth.invalid"
    kind = ErrorKind.UNAUTHENTICATED
    title = "The code, password or token is wrong, used or expired."


class AuthLocked(DomainError):
    code = "auth.locked"
    kind = ErrorKind.RATE_LIMITED
    title = "Too many wrong tries. Ask for a new code, or wait."


class PhoneNotAuthorised(DomainError):
    code = "auth.phone_not_authorised"
    kind = ErrorKind.FORBIDDEN
    title = "This phone is not on the hospital's list of doctors."


class OriginRefused(DomainError):
    code = "auth.origin_refused"
    kind = ErrorKind.FORBIDDEN
    title = "Cookies for signing in are for pages of this server alone."


class SessionNotFound(DomainError):
    code = "session.not_found"
    kind = ErrorKind.NOT_FOUND
    title = "There is no such session of this account."


class PatientNotFound(DomainError):
    code = "patient.not_found"
    kind = ErrorKind.NOT_FOUND
    title = "There is no such patient in this account."


class AuthCodeRequired(DomainError):
    code = "auth.code_required"
    kind = ErrorKind.FORBIDDEN
    title = "The first password of an account is set with an SMS code; ask for one to reset it."


class PatientLimitReached(DomainError):
    code = "patient.limit_reached"
    kind = ErrorKind.CONFLICT
    title = "This account holds as many patients as it may."


class PatientDuplicate(DomainError):
    code = "patient.duplicate"
    kind = ErrorKind.CONFLICT
    title = "This account holds a patient with this identity number already."


class DoctorNotFound(DomainError):
    code = "doctor.not_found"
    kind = ErrorKind.NOT_FOUND
    title = "There is no such doctor."


class DepartmentNotFound(DomainError):
    code = "department.not_found"
    kind = ErrorKind.NOT_FOUND
    title = "There is no such department."


class DoctorPhoneTaken(DomainError):
    code = "doctor.phone_taken"
    kind = ErrorKind.CONFLICT
    title = "Another doctor of this hospital has this phone."


class DoctorStaffNumberTaken(DomainError):
    code = "doctor.staff_number_taken"
    kind = ErrorKind.CONFLICT
    title = "Another doctor of this hospital has this staff number."


class StaffUsernameTaken(DomainError):
    code = "staff.username_taken"
    kind = ErrorKind.CONFLICT
    title = "Another member of this hospital's staff has this user name."


class StaffNotFound(DomainError):
    code = "staff.not_found"
    kind = ErrorKind.NOT_FOUND
    title = "There is no such member of staff."


class StaffSelfRefused(DomainError):
    code = "staff.self_refused"
    kind = ErrorKind.CONFLICT
    title = "Nobody changes or ends one's own account; another operator must."


class StaffDutiesSeparate(DomainError):
    code = "staff.duties_separate"
    kind = ErrorKind.CONFLICT
    title = "Auditors have accounts of their own with no other role; only an auditor adds, changes and ends them."


class StaffRenewalNotAgreed(DomainError):
    code = "staff.renewal_not_agreed"
    kind = ErrorKind.CONFLICT
    title = "An auditor must agree first (where it is an auditor's account, an operator), and only who asked may renew."


class StaffRenewalOver(DomainError):
    code = "staff.renewal_over"
    kind = ErrorKind.CONFLICT
    title = "This request was used, replaced or refused, or its time is over."


class ConsentNotFound(DomainError):
    code = "consent.not_found"
    kind = ErrorKind.NOT_FOUND
    title = "There is no such consent text."


class ConsentMismatch(DomainError):
    code = "consent.mismatch"
    kind = ErrorKind.INVALID
    title = "The version and hash are not those of the consent text in force."
