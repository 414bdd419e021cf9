"""Beat knows the periodic jobs by name and interval; the worker by what they do. Both must mean the same."""

from unittest.mock import create_autospec

import accounts.tasks
import admin_console.tasks
import billing.reconciliation.tasks
import billing.tasks
import im.push.tasks
import media.tasks
from accounts.service import CodeService, SessionService, TextService
from admin_console.service.proofs import Proofs
from billing.reconciliation.service import ReconciliationService
from billing.service.payments import PaymentService
from billing.service.refunds import SUBMIT, RefundService
from im.push.service import PushService
from media.service import MediaService
from server.app.beat import EVERY


def test_beat_asks_for_exactly_the_jobs_that_are_periodic() -> None:
    jobs = [
        *accounts.tasks.jobs(create_autospec(CodeService), create_autospec(SessionService), create_autospec(TextService)),
        *billing.tasks.jobs(create_autospec(PaymentService), create_autospec(RefundService)),
        *billing.reconciliation.tasks.jobs(create_autospec(ReconciliationService)),
        *media.tasks.jobs(create_autospec(MediaService)),
        *admin_console.tasks.jobs(create_autospec(Proofs)),
        *im.push.tasks.jobs(create_autospec(PushService)),
    ]
    assert {job.name: job.every for job in jobs if job.every is not None} == EVERY
    assert len({job.name for job in jobs}) == len(jobs)
    assert SUBMIT in {job.name for job in jobs}
