"""From a leaked picture to the view that it was."""

from datetime import datetime
from hashlib import sha256
from typing import Final

from admin_console.domain.access import View
from admin_console.domain.traces import COMPARED_FOR, COMPARED_VIEWS, Trace, TracedView
from admin_console.ports import IssuedViews, MarkReader
from admin_console.service.guard import Guard
from ehr_view.domain.access import view_text
from server.kernel.actor import PLATFORM, Actor, Role
from server.kernel.audit import Audit, audit_row
from server.kernel.clock import Clock

FOUND: Final = "admin.leak_found"


class LeakTracing:
    """Who asked about which picture, and whom it named, is recorded before anything is told."""

    def __init__(self, audit: Audit, clock: Clock, reader: MarkReader, views: IssuedViews) -> None:
        self._guard = Guard(audit, clock)
        self._audit = audit
        self._clock = clock
        self._reader = reader
        self._views = views

    async def trace(self, actor: Actor, picture: bytes, *, since: datetime | None = None) -> Trace:
        """The views in the picture. `since` narrows which views a mark too weak to decode is compared with.

        Staff see those of their own hospital; the product's operator, who has the key, all. Raises LeakPictureUnsupported,
        LeakPictureTooLarge, LeakPictureDamaged, Unavailable.
        """
        digest = sha256(picture).hexdigest()
        by_hand = actor.role is Role.SYSTEM
        if not by_hand:
            await self._guard.require(actor, View.LEAK, subject=digest)
        now = self._clock.now()
        hospital_id = None if by_hand else actor.hospital_id
        issued = await self._views.list_ids(hospital_id, since or now - COMPARED_FOR, limit=COMPARED_VIEWS)
        findings = await self._reader.read(picture, issued)
        named: dict[int, TracedView] = {}
        for hint in findings.hints:
            # A mark may be read and yet name nobody: what was never issued is no view.
            view = None if hint.view_id in named else await self._views.find(hint.view_id)
            if view is not None and hospital_id in (None, view.hospital_id):
                named[hint.view_id] = TracedView(view, hint)
        await self._guard.record(actor, View.LEAK, subject=digest)
        for traced in named.values():
            row = audit_row(
                actor,
                FOUND,
                subject=view_text(traced.view.view_id),
                at=self._clock.now(),
                order_id=traced.view.order_id,
                hospital_id=traced.view.hospital_id if actor.hospital_id == PLATFORM else None,
            )
            await self._audit.record(row)
        return Trace(digest, findings.width, findings.height, tuple(named.values()))
