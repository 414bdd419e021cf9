"""Verification of all history, asked for by staff and done by a worker."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import structlog

from admin_console.domain.access import View
from admin_console.domain.proofs import MOST_FINDINGS, STALE, Proof, ProofState
from admin_console.ports import ProofBook
from admin_console.service.guard import Guard
from admin_console.service.verification import Verifier
from server.kernel.actor import Actor
from server.kernel.audit import Audit
from server.kernel.clock import Clock
from server.kernel.ids import new_id
from server.kernel.jobs import JobQueue

log = structlog.get_logger(__name__)

VERIFY: Final = "admin.verify_history"
_SHOWN: Final = 20


class Proofs:
    """One at a time in a hospital: who asks while one waits or runs gets that one. A lost hint is found by the sweep."""

    def __init__(self, audit: Audit, clock: Clock, book: ProofBook, verifier: Verifier, jobs: JobQueue) -> None:
        self._guard = Guard(audit, clock)
        self._clock = clock
        self._book = book
        self._verifier = verifier
        self._jobs = jobs

    async def request(self, actor: Actor) -> Proof:
        """Raises Forbidden."""
        await self._guard.require(actor, View.VERIFICATION, subject="history")
        proof = Proof(new_id(), actor.hospital_id, actor.account_id, self._clock.now())
        await self._guard.record(actor, View.VERIFICATION, subject=proof.id)
        kept = await self._book.insert(proof)
        self._jobs.request(VERIFY, kept.id)
        return kept

    async def list_newest(self, actor: Actor) -> Sequence[Proof]:
        """Raises Forbidden."""
        await self._guard.require(actor, View.VERIFICATION, subject="history")
        found = await self._book.list_newest(actor.hospital_id, limit=_SHOWN)
        await self._guard.record(actor, View.VERIFICATION, subject="history")
        return found

    async def verify(self, proof_id: str) -> None:
        """Walk all history, if this one waits or was left behind; whoever claims it first does it."""
        now = self._clock.now()
        proof = await self._book.claim(proof_id, now, now - STALE)
        if proof is None:
            return
        report = await self._verifier.verify()
        done = replace(
            proof,
            state=ProofState.DONE,
            finished_at=self._clock.now(),
            holds=report.holds,
            items=report.items,
            streams=report.streams,
            checkpoints=report.checkpoints,
            uncovered=report.uncovered,
            broken=len(report.findings),
            findings=(*map(str, report.findings[: MOST_FINDINGS - len(report.notes)]), *report.notes),
        )
        if not report.holds:
            log.error("admin.history_broken", proof_id=proof.id, places=done.broken)
        await self._book.save(done)

    async def verify_waiting(self) -> None:
        """What a lost hint or a worker that died left."""
        for proof_id in await self._book.list_waiting(self._clock.now() - STALE):
            await self.verify(proof_id)
