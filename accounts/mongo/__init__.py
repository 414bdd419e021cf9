"""Where accounts are kept: the only room that sees documents."""

from accounts.mongo.codes import MongoCodes, MongoSmsAttempts
from accounts.mongo.collections import INDEXES, OUTBOXES
from accounts.mongo.doctors import MongoDoctors
from accounts.mongo.limits import MongoLimits
from accounts.mongo.patients import MongoPatients
from accounts.mongo.people import MongoPatientAccounts, MongoStaff
from accounts.mongo.sessions import MongoSessions
from accounts.mongo.texts import MongoTexts

__all__ = [
    "INDEXES",
    "OUTBOXES",
    "MongoCodes",
    "MongoDoctors",
    "MongoLimits",
    "MongoPatientAccounts",
    "MongoPatients",
    "MongoSessions",
    "MongoSmsAttempts",
    "MongoStaff",
    "MongoTexts",
]
