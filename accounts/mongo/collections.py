"""Names of this package's collections and their indexes."""

from typing import Final

from pymongo import ASCENDING, DESCENDING, IndexModel

from server.kernel.mongo import Indexes
from server.kernel.outbox import OUTBOX_INDEX

SMS_PHONES: Final = "sms_phones"
SMS_ATTEMPTS: Final = "sms_attempts"
DOCTOR_TEXTS: Final = "doctor_texts"
LIMITS: Final = "sign_in_limits"
SESSIONS: Final = "sessions"
PATIENT_ACCOUNTS: Final = "patient_accounts"
STAFF_ACCOUNTS: Final = "staff_accounts"
DEPARTMENTS: Final = "departments"
DOCTORS: Final = "doctors"
PATIENTS: Final = "patients"

OUTBOXES: Final[tuple[str, ...]] = (
    SMS_PHONES,
    SESSIONS,
    PATIENT_ACCOUNTS,
    STAFF_ACCOUNTS,
    DEPARTMENTS,
    DOCTORS,
    PATIENTS,
)

INDEXES: Final[Indexes] = {
    SMS_PHONES: [OUTBOX_INDEX, IndexModel([("hospital_id", ASCENDING), ("expires_at", ASCENDING)])],
    SMS_ATTEMPTS: [
        IndexModel([("next_at", ASCENDING)], partialFilterExpression={"open": True}),
        IndexModel([("hospital_id", ASCENDING), ("created_at", ASCENDING)]),
    ],
    DOCTOR_TEXTS: [
        IndexModel([("next_at", ASCENDING)], partialFilterExpression={"open": True}),
        IndexModel([("created_at", ASCENDING)]),
    ],
    LIMITS: [IndexModel([("hospital_id", ASCENDING), ("expires_at", ASCENDING)])],
    SESSIONS: [
        OUTBOX_INDEX,
        IndexModel([("hospital_id", ASCENDING), ("account_id", ASCENDING), ("refreshed_at", DESCENDING)]),
        IndexModel([("expires_at", ASCENDING)]),
    ],
    PATIENT_ACCOUNTS: [
        OUTBOX_INDEX,
        IndexModel([("hospital_id", ASCENDING), ("phone_blind", ASCENDING)], unique=True),
    ],
    STAFF_ACCOUNTS: [
        OUTBOX_INDEX,
        IndexModel([("hospital_id", ASCENDING), ("username", ASCENDING)], unique=True),
    ],
    DEPARTMENTS: [OUTBOX_INDEX, IndexModel([("hospital_id", ASCENDING), ("sort_key", ASCENDING)])],
    DOCTORS: [
        OUTBOX_INDEX,
        IndexModel(
            [("hospital_id", ASCENDING), ("phone_blind", ASCENDING)],
            unique=True,
            partialFilterExpression={"phone_blind": {"$exists": True}},
        ),
        IndexModel(
            [("hospital_id", ASCENDING), ("staff_number", ASCENDING)],
            unique=True,
            partialFilterExpression={"active": True, "staff_number": {"$type": "string"}},
        ),
        IndexModel([("hospital_id", ASCENDING), ("active", ASCENDING), ("sort_key", ASCENDING), ("_id", ASCENDING)]),
    ],
    PATIENTS: [
        OUTBOX_INDEX,
        IndexModel([("hospital_id", ASCENDING), ("items.id_blind", ASCENDING)]),
        IndexModel([("hospital_id", ASCENDING), ("items.phone_blind", ASCENDING)]),
    ],
}
