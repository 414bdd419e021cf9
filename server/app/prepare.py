"""What must be done before the product runs: migrations, and the demo in an empty database.

All other processes wait for the first of them, so this one loads no more than it needs: no edge, no conversations, no gateway.
Nothing that the demo does has a consumer among those.
"""

from typing import Final

from argon2 import PasswordHasher

from accounts.passwords import Argon2Passwords
from consult.mongo import MongoDesks, MongoQuickPrices
from consult.service.offers import FreeDoctors, QuickOffers
from server.app.demo import DemoServices, seed_demo
from server.app.embedded import databases
from server.app.ground import ground
from server.app.migrations import OUTBOXES, migrate
from server.app.people import people_of
from server.app.settings import Settings

_QUICK: Final = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1)
"""Stretching guards what people make up. The demo's passwords are 80 random bits, and there is nothing to guess."""


async def migrate_database(settings: Settings) -> int:
    """Bring the database to this version."""
    async with databases(settings) as found, ground(settings, found.mongo_url) as made:
        await migrate(made.database)
    return 0


async def prepare(settings: Settings) -> int:
    """Migrate, and fill an empty database with demo data."""
    passwords = Argon2Passwords(_QUICK)
    try:
        async with databases(settings) as found, ground(settings, found.mongo_url) as made:
            await migrate(made.database)
            people = people_of(made, settings, passwords)
            free = FreeDoctors(people.doctors, MongoDesks(made.database), made.clock)
            services = DemoServices(
                doctors=people.doctors,
                staff=people.staff,
                patients=people.patients,
                offers=QuickOffers(MongoQuickPrices(made.database), people.doctors, free, made.audit, made.relay, made.clock),
                patient_accounts=people.patient_accounts,
                clock=made.clock,
            )
            if not await seed_demo(made.database, made.keyring, services, settings, outboxes=OUTBOXES):
                print("the database holds other data: no demo")
    finally:
        passwords.close()
    return 0
