"""Fair replies: flagged to the patient, who may contest one; then a person of the staff looks at it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from consult.domain.fairness import REPLY_FLAGS, Flaw, ReplyFlag, Said, find_flaw, flag_id_of, normalised
from consult.domain.log import ConsultState
from consult.domain.notices import NoticeKind, notice_of
from consult.domain.tasks import TaskKind, new_task
from consult.errors import ReplyFlagNotFound
from consult.ports import FairnessRepository, Outboxes
from consult.service.access import OrderAccess
from consult.service.notices import NoticeService
from consult.service.tasks import TaskService
from im.domain import Entry
from server.kernel.actor import Actor, Role, StaffRole, system_actor
from server.kernel.audit import Audit, Outcome, audit_row
from server.kernel.clock import Clock, from_ms
from server.kernel.errors import Forbidden
from server.kernel.ids import derived_id, is_id
from server.kernel.outbox import Event, event_of

REPLY_FLAGGED: Final = "consult.reply_flagged"
REPLY_CONTESTED: Final = "consult.reply_contested"
FLAGS_VIEWED: Final = "consult.reply_flags_viewed"
_DUE: Final = timedelta(hours=24)


@dataclass(slots=True)
class FairnessService:
    fairness: FairnessRepository
    access: OrderAccess
    notices: NoticeService
    tasks: TaskService
    audit: Audit
    relay: Outboxes
    clock: Clock

    async def look_at(self, replies: Sequence[tuple[Entry, ConsultState]]) -> None:
        """These were followed, each with the state of its order. Twice is once: a reply's own words are remembered under its
        own order."""
        if not replies:
            return
        hospitals, doctors = ({state.hospital_id for _, state in replies}, {_said_by(entry) for entry, _ in replies})
        earlier = {doctor: list(said) for doctor, said in (await self.fairness.list_said(hospitals, doctors)).items()}
        fresh: dict[tuple[str, str], list[Said]] = {}
        flaws: list[tuple[Entry, ConsultState, Flaw]] = []
        for entry, state in replies:
            digest = await self.fairness.digest(state.hospital_id, normalised(entry.draft.parts))
            said, known = Said(state.order_id, digest), earlier.setdefault(_said_by(entry), [])
            before = known[: known.index(said)] if said in known else known  # followed again: what came later was not before it
            if (flaw := find_flaw(entry.draft.parts, digest, before, order_id=state.order_id)) is not None:
                flaws.append((entry, state, flaw))
            if said not in known:
                known.append(said)
                fresh.setdefault((state.hospital_id, _said_by(entry)), []).append(said)
        for entry, state, flaw in flaws:
            await self._flag(entry, state, flaw)
        await self.fairness.remember(fresh)  # at last, since it may push out what a flag rests on

    async def _flag(self, entry: Entry, state: ConsultState, flaw: Flaw) -> None:
        flag = ReplyFlag(
            id=flag_id_of(entry.conversation_id, entry.seq),
            hospital_id=state.hospital_id,
            order_id=state.order_id,
            conversation_id=entry.conversation_id,
            seq=entry.seq,
            doctor_id=_said_by(entry),
            flaw=flaw,
            flagged_at=from_ms(entry.at_ms),
        )
        event = event_of(
            system_actor(state.hospital_id, name="fairness"),
            REPLY_FLAGGED,
            subject=flag.id,
            at=flag.flagged_at,
            order_id=flag.order_id,
            event_id=derived_id(REPLY_FLAGGED, flag.id),
            patients=[account for account in state.roles if account != state.doctor],
        )
        await self.fairness.insert(flag, event)
        self.relay.soon(REPLY_FLAGS, flag.id, flag.hospital_id)

    async def reply_flagged(self, event: Event) -> None:
        """`consult.reply_flagged`: tell the patient."""
        flag = await self.fairness.find(event.hospital_id, event.subject)
        if flag is not None:
            told = [
                notice_of(
                    NoticeKind.REPLY_FLAGGED,
                    cause=flag.id,
                    account_id=account_id,
                    hospital_id=flag.hospital_id,
                    order_id=flag.order_id,
                    at=event.at,
                    conversation_id=flag.conversation_id,
                    seq=flag.seq,
                    flaw=flag.flaw.value,
                )
                for account_id in event.data["patients"]
            ]
            await self.notices.tell(told, push=False)  # the reply itself was pushed

    async def list_flags(self, actor: Actor, order_id: str) -> Sequence[ReplyFlag]:
        """The flagged replies of the patient's own order. Raises OrderNotFound."""
        order = await self.access.access_order_as_patient(actor, order_id, FLAGS_VIEWED)
        return await self.fairness.list_of(order.hospital_id, order.id)

    async def contest(self, actor: Actor, order_id: str, seq: int, reason: str) -> ReplyFlag:
        """The patient says that this was no reply; once. Raises OrderNotFound, ReplyFlagNotFound."""
        order = await self.access.access_order_as_patient(actor, order_id, REPLY_CONTESTED)
        flag = await self.fairness.find(order.hospital_id, flag_id_of(order.conversation_id, seq))
        if flag is None:
            raise ReplyFlagNotFound
        now = self.clock.now()
        event = event_of(actor, REPLY_CONTESTED, subject=flag.id, at=now, order_id=order.id, hospital_id=order.hospital_id)
        if await self.fairness.contest(flag, reason, now, event):
            self.relay.soon(REPLY_FLAGS, flag.id, flag.hospital_id)
        contested = await self.fairness.find(order.hospital_id, flag.id)
        assert contested is not None, "flags are not deleted"
        return contested

    async def reply_contested(self, event: Event) -> None:
        """`consult.reply_contested`: a person looks at it within a day."""
        flag = await self.fairness.find(event.hospital_id, event.subject)
        if flag is not None:
            await self.tasks.open(
                new_task(
                    TaskKind.REPLY_CONTESTED,
                    cause=flag.id,
                    hospital_id=flag.hospital_id,
                    subject=flag.id,
                    order_id=flag.order_id,
                    due_at=event.at + _DUE,
                    at=event.at,
                    doctor_id=flag.doctor_id,
                    conversation_id=flag.conversation_id,
                    seq=flag.seq,
                    flaw=flag.flaw.value,
                )
            )

    async def view_flag(self, actor: Actor, flag_id: str) -> ReplyFlag:
        """What the patient wrote, for medical administrators. Raises Forbidden, ReplyFlagNotFound."""
        allowed = actor.role is Role.STAFF and StaffRole.MEDICAL_ADMIN in actor.staff_roles
        flag = await self.fairness.find(actor.hospital_id, flag_id) if allowed and is_id(flag_id) else None
        row = audit_row(
            actor,
            FLAGS_VIEWED,
            subject=flag_id if is_id(flag_id) else "reply_flag",
            at=self.clock.now(),
            order_id=None if flag is None else flag.order_id,
            outcome=Outcome.DENIED if flag is None else Outcome.OK,
        )
        await self.audit.record(row)
        if not allowed:
            raise Forbidden
        if flag is None:
            raise ReplyFlagNotFound
        return flag


def _said_by(reply: Entry) -> str:
    """Whose words they are: the order may be another doctor's by now."""
    assert reply.draft.sender is not None, "a reply has a sender"
    return reply.draft.sender
