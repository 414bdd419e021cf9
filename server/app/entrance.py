"""How people come in, put together: codes by SMS, passwords, sign-in, and the routes and jobs of accounts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from accounts.domain.codes import SmsPolicy
from accounts.http import routes
from accounts.mongo import MongoCodes, MongoLimits, MongoSmsAttempts, MongoTexts
from accounts.passwords import Argon2Passwords, PyotpTotp
from accounts.service.codes import CodeService
from accounts.service.consents import ConsentService
from accounts.service.passwords import PasswordService
from accounts.service.sign_in import SignInService
from accounts.service.texts import TextService
from accounts.sms import AliyunSms
from accounts.tasks import jobs
from server.app.ground import Ground
from server.app.partners import sms_config
from server.app.people import People, people_of
from server.app.settings import Settings
from server.kernel.edge import Route
from server.kernel.jobs import Job


@dataclass(frozen=True, slots=True)
class Entrance:
    people: People
    consents: ConsentService
    texts: TextService
    routes: tuple[Route, ...]
    jobs: tuple[Job, ...]


@asynccontextmanager
async def entrance(ground: Ground, settings: Settings, http: aiohttp.ClientSession) -> AsyncIterator[Entrance]:
    """Until the end of the block; SMS that are under way then are finished first."""
    db, keyring, audit, clock = ground.database, ground.keyring, ground.audit, ground.clock
    passwords = Argon2Passwords()
    people = people_of(ground, settings, passwords)
    code_book, limits = MongoCodes(db, keyring, ground.relay), MongoLimits(db, keyring)
    sms = AliyunSms(http, sms_config(settings), clock)
    policy = SmsPolicy(settings.sms_resend_after, settings.sms_per_phone, settings.sms_per_address)
    codes = CodeService(code_book, MongoSmsAttempts(db, keyring), limits, sms, clock, policy)
    texts = TextService(MongoTexts(db), people.doctor_list, sms, clock)
    sign_in = SignInService(
        people.patient_accounts,
        people.doctor_list,
        people.staff_list,
        code_book,
        limits,
        codes,
        people.sessions,
        passwords,
        PyotpTotp(),
        audit,
        clock,
    )
    password_service = PasswordService(people.patient_accounts, limits, codes, people.sessions, passwords, audit, clock)
    consents = ConsentService.load()
    try:
        yield Entrance(
            people=people,
            consents=consents,
            texts=texts,
            routes=tuple(
                routes(
                    codes, sign_in, people.sessions, password_service, people.doctors, people.patients, consents, people.staff
                )
            ),
            jobs=tuple(jobs(codes, people.sessions, texts)),
        )
    finally:
        passwords.close()
        await codes.close()
