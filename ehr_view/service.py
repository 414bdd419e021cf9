"""What may be done with records: list them, look at a page, see who looked.

Every look is decided anew on a freshly read log, before anything is asked of the hospital and once more when the page is
drawn. A page leaves only after its view and the audit row of it are stored by a majority.
"""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import structlog

from ehr_view.charts import ChartCache, PreparedChart
from ehr_view.domain.access import (
    CHAT_MARKED,
    LISTED,
    MISMATCHED,
    SHARED,
    VIEW_ID_BITS,
    VIEWED,
    VIEWS_LISTED,
    Grant,
    Lease,
    RecordView,
    Refused,
    is_open,
    view_text,
)
from ehr_view.domain.pagination import SHANGHAI, frames_of_page
from ehr_view.domain.records import ImagingStudy, Missing, MissingReason, PatientRef, Record
from ehr_view.errors import (
    RecordAccessDenied,
    RecordIdentityMismatch,
    RecordNotDrawable,
    RecordNotFound,
    RecordSourceUnavailable,
)
from ehr_view.ports import (
    RECORD_VIEWS,
    Drawing,
    Hospital,
    ImageFormat,
    Leases,
    Live,
    Mark,
    Page,
    Painter,
    Picture,
    RecordAccess,
    Relay,
    Sessions,
    Theme,
    Views,
)
from server.kernel.actor import Actor
from server.kernel.audit import Audit, Outcome, audit_row
from server.kernel.clock import Clock, iso
from server.kernel.errors import AuthRequired, DomainError, Unavailable
from server.kernel.ids import is_id
from server.kernel.outbox import Event, event_of

log = structlog.get_logger(__name__)

RECORD_VIEWED: Final = "record.viewed"
"""What sockets are told."""

_VIEW_TRIES: Final = 3
_SEX: Final[Mapping[str, str]] = {"male": "男", "female": "女"}


@dataclass(frozen=True, slots=True)
class ListedRecord:
    record: Record
    pages: int


@dataclass(frozen=True, slots=True)
class RecordList:
    """`is_known` False: the hospital has no such person."""

    items: tuple[ListedRecord, ...]
    missing: tuple[Missing, ...]
    is_known: bool


@dataclass(frozen=True, slots=True)
class ShownPage:
    page: Page
    pages: int


@dataclass(frozen=True, slots=True)
class Look:
    """How a page is wanted."""

    width: int = 1080
    theme: Theme = Theme.LIGHT
    format: ImageFormat = ImageFormat.JPEG


class RecordService:
    def __init__(
        self,
        *,
        leases: Leases,
        access: RecordAccess,
        sessions: Sessions,
        hospital: Hospital,
        painter: Painter,
        views: Views,
        audit: Audit,
        relay: Relay,
        clock: Clock,
    ) -> None:
        self._access = access
        self._leases = leases
        self._sessions = sessions
        self._hospital = hospital
        self._painter = painter
        self._views = views
        self._audit = audit
        self._relay = relay
        self._clock = clock
        self._charts = ChartCache(hospital, clock)

    async def list_records(self, actor: Actor, order_id: str) -> RecordList:
        """All records of the order's patient, newest first, and what could not be had.

        From then on this session may open pages on this device: whoever brings a page's address to another has nothing.
        """
        grant = await self._check(actor, order_id, LISTED)
        await self._painter.warm()
        prepared = await self._chart(actor, grant)
        grant = await self._check(actor, order_id, LISTED)
        row = audit_row(actor, LISTED, subject=order_id, at=self._clock.now(), order_id=order_id, hospital_id=grant.hospital_id)
        await asyncio.gather(self._leases.open(_lease(actor, grant, row.at)), self._audit.record(row))
        items = tuple(ListedRecord(r, len(prepared.pages[r.id])) for r in prepared.chart.records)
        return RecordList(items, prepared.chart.missing, prepared.chart.is_known)

    async def render_page(self, actor: Actor, order_id: str, record_id: str, number: int, look: Look) -> ShownPage:
        """One page, marked both ways. It is a view from this moment on.

        Raises RecordNotFound, RecordNotDrawable, Unavailable (also when the view cannot be recorded: then there is no page).
        """
        grant = await self._check_page(actor, order_id, record_id)
        prepared = await self._chart(actor, grant)
        record, sheets = prepared.chart.find(record_id), prepared.pages.get(record_id, ())
        if record is None or not 1 <= number <= len(sheets):
            raise RecordNotFound
        pictures = await self._pictures(actor, grant, record, number)
        for _ in range(_VIEW_TRIES):
            mark = Mark(grant.viewer, self._clock.now(), grant.order_number, secrets.randbits(VIEW_ID_BITS))
            drawing = Drawing(
                sheet=sheets[number - 1],
                subject=subject_words(grant.patient, mark.at),
                mark=mark,
                width=look.width,
                theme=look.theme,
                format=look.format,
                pictures=pictures,
            )
            page = await self._draw(actor, grant, drawing, record_id)
            grant = await self._check_page(actor, order_id, record_id)
            if await self._record_view(actor, grant, record, number, drawing):
                return ShownPage(page, len(sheets))
        raise Unavailable

    async def share_record(self, actor: Actor, order_id: str, record_id: str) -> None:
        """The doctor refers to a record in the conversation: who may open its pages now may, and nobody sees more by it. A row
        says so. Raises RecordAccessDenied, RecordNotFound."""
        grant = await self._check_page(actor, order_id, record_id, SHARED)
        prepared = await self._chart(actor, grant)
        if prepared.chart.find(record_id) is None:
            raise RecordNotFound
        now = self._clock.now()
        row = audit_row(actor, SHARED, subject=record_id, at=now, order_id=order_id, hospital_id=grant.hospital_id)
        await self._audit.record(row)

    async def list_views(
        self, actor: Actor, order_id: str, *, before: tuple[datetime, int] | None, limit: int
    ) -> Sequence[RecordView]:
        """Who looked at what, and when, newest first: for the patient."""
        verdict = await self._access.check_patient(actor, order_id)
        if isinstance(verdict, Refused):
            raise await self._denied(actor, order_id, VIEWS_LISTED, order_id, verdict)
        now = self._clock.now()
        row = audit_row(actor, VIEWS_LISTED, subject=order_id, at=now, order_id=order_id, hospital_id=verdict.hospital_id)
        await self._audit.record(row)
        return await self._views.list_of_order(verdict.hospital_id, order_id, before=before, limit=limit)

    async def mark_chat(self, actor: Actor, order_id: str) -> Page:
        """The visible mark alone, a transparent tile that the doctor's client lays over the chat of this order."""
        verdict = await self._access.check_chat(actor, order_id)
        if isinstance(verdict, Refused):
            raise await self._denied(actor, order_id, CHAT_MARKED, order_id, verdict)
        now = self._clock.now()
        row = audit_row(actor, CHAT_MARKED, subject=order_id, at=now, order_id=order_id, hospital_id=verdict.hospital_id)
        await self._audit.record(row)
        return await self._painter.draw_tile(Mark(verdict.viewer, now, verdict.order_number, 0))

    # Permission

    async def _check_page(self, actor: Actor, order_id: str, record_id: str, action: str = VIEWED) -> Grant:
        """The grant, and that this session listed the records on this device."""
        grant = await self._check(actor, order_id, action, record_id)
        if await self._leases.is_open(_lease(actor, grant, self._clock.now())):
            return grant
        subject = record_id if is_id(record_id) else order_id
        raise await self._denied(actor, order_id, action, subject, Refused(RecordAccessDenied(), grant.hospital_id))

    async def _check(self, actor: Actor, order_id: str, action: str, subject: str | None = None) -> Grant:
        """The grant, as of now. A refusal leaves a row; nothing is said of records."""
        subject = subject if subject is not None and is_id(subject) else order_id
        verdict = await self._access.check(actor, order_id)
        if isinstance(verdict, Refused):
            raise await self._denied(actor, order_id, action, subject, verdict)
        dead = actor.session_id is None or await self._sessions.list_dead_sessions([actor.session_id])
        if dead or actor.account_id != verdict.viewer.account_id or not is_open(verdict, self._clock.now()):
            error: DomainError = AuthRequired() if dead else RecordAccessDenied()
            raise await self._denied(actor, order_id, action, subject, Refused(error, verdict.hospital_id))
        return verdict

    async def _denied(self, actor: Actor, order_id: str, action: str, subject: str, verdict: Refused) -> DomainError:
        if is_id(order_id):
            row = audit_row(
                actor,
                action,
                subject=subject,
                at=self._clock.now(),
                order_id=order_id,
                outcome=Outcome.DENIED,
                hospital_id=verdict.hospital_id,
            )
            await self._audit.record(row)
        return verdict.error

    # What the hospital has

    async def _chart(self, actor: Actor, grant: Grant) -> PreparedChart:
        try:
            prepared = await self._charts.get(grant.hospital_id, grant.patient)
        except RecordIdentityMismatch:
            await self._report_mismatch(actor, grant, grant.order_id)
            raise
        if any(m.reason is MissingReason.IDENTITY_MISMATCH for m in prepared.chart.missing):
            await self._report_mismatch(actor, grant, grant.order_id)
        return prepared

    async def _pictures(self, actor: Actor, grant: Grant, record: Record, number: int) -> Sequence[Picture | None]:
        study = record.content
        if not isinstance(study, ImagingStudy):
            return ()
        frames = [study.frames[index] for index in frames_of_page(study, number)]
        try:
            pictures = await self._hospital.fetch_pictures(grant.hospital_id, grant.patient, study, frames)
        except RecordIdentityMismatch:
            await self._report_mismatch(actor, grant, record.id)
            raise
        if all(picture is None for picture in pictures):
            raise RecordSourceUnavailable
        return pictures

    async def _report_mismatch(self, actor: Actor, grant: Grant, subject: str) -> None:
        """Somebody else's data came: for the auditors, and loudly in the log."""
        log.error("records.identity_mismatch", order_id=grant.order_id, subject=subject)
        row = audit_row(
            actor,
            MISMATCHED,
            subject=subject,
            at=self._clock.now(),
            order_id=grant.order_id,
            outcome=Outcome.DENIED,
            hospital_id=grant.hospital_id,
        )
        await self._audit.record(row)

    async def _draw(self, actor: Actor, grant: Grant, drawing: Drawing, record_id: str) -> Page:
        try:
            return await self._painter.draw(drawing)
        except RecordIdentityMismatch:
            await self._report_mismatch(actor, grant, record_id)
            raise
        except RecordNotDrawable:
            log.error("records.not_drawable", record_id=record_id, page=drawing.sheet.number)  # noqa: TRY400
            raise

    async def _record_view(self, actor: Actor, grant: Grant, record: Record, number: int, drawing: Drawing) -> bool:
        """Store the view and the audit row of it, both by a majority. False when its id is taken."""
        view = RecordView(
            view_id=drawing.mark.view_id,
            hospital_id=grant.hospital_id,
            order_id=grant.order_id,
            order_number=grant.order_number,
            record_id=record.id,
            form=record.form.value,
            title=drawing.sheet.title,
            page=number,
            viewer=grant.viewer,
            patient_account=grant.patient_account,
            session_id=actor.session_id or "",
            device_id=actor.device_id,
            at=drawing.mark.at,
            drawn={"width": drawing.width, "theme": drawing.theme.value, "format": drawing.format.value},
        )
        event = _viewed(actor, view)
        if not await self._views.add(view, event):
            return False
        row = audit_row(
            actor,
            VIEWED,
            subject=event.subject,
            at=view.at,
            order_id=view.order_id,
            hospital_id=view.hospital_id,
            audit_id=event.id,
        )
        await self._audit.record(row)
        self._relay.soon(RECORD_VIEWS, view.view_id, view.hospital_id)
        return True


def _lease(actor: Actor, grant: Grant, now: datetime) -> Lease:
    return Lease(
        order_id=grant.order_id,
        hospital_id=grant.hospital_id,
        doctor_id=grant.viewer.account_id,
        session_id=actor.session_id or "",
        device_id=actor.device_id,
        opened_at=now,
        closes_at=grant.closes_at,
    )


def _viewed(actor: Actor, view: RecordView) -> Event:
    """The subject of a view is its id, as the forensic mark carries it."""
    return event_of(
        actor,
        VIEWED,
        subject=view_text(view.view_id),
        at=view.at,
        order_id=view.order_id,
        hospital_id=view.hospital_id,
        view_id=view.view_id,
        record_id=view.record_id,
        page=view.page,
    )


def subject_words(patient: PatientRef, now: datetime) -> str:
    """The person at the head of a page: name, sex, age."""
    words = [patient.name, _SEX.get(patient.sex or "", "")]
    if patient.birth_date is not None:
        words.append(age_words(patient.birth_date, now.astimezone(SHANGHAI).date()))
    return "  ".join(word for word in words if word)


def age_words(born: date, day: date) -> str:
    """Years; months for who is not two yet, days in the first month."""
    months = (day.year - born.year) * 12 + day.month - born.month - (day.day < born.day)
    if months >= 24:
        return f"{months // 12}岁"
    return f"{months}个月" if months >= 1 else f"{(day - born).days}天"


class LeaseEnder:
    """Takes `consult.record_access_changed` events: who withdrew and agrees again later has ended what was open."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases

    async def consume(self, event: Event) -> None:
        if event.order_id is not None and not event.data["granted"]:
            await self._leases.end(event.hospital_id, event.order_id, event.at)


class ViewAnnouncer:
    """Takes `record.page_viewed` events from the relay and tells the patient. Twice does no harm."""

    def __init__(self, views: Views, live: Live) -> None:
        self._views = views
        self._live = live

    async def consume(self, event: Event) -> None:
        view = await self._views.find(int(event.data["view_id"]))
        if view is not None:
            self._live.send([view.patient_account], RECORD_VIEWED, view_payload(view))


def view_payload(view: RecordView) -> dict[str, Any]:
    """A view as its patient sees it."""
    return {
        "view_id": view_text(view.view_id),
        "order_id": view.order_id,
        "record_id": view.record_id,
        "title": view.title,
        "page": view.page,
        "viewed_at": iso(view.at),
        "doctor": {"id": view.viewer.account_id, "name": view.viewer.name},
    }
