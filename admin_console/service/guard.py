"""Who looks at what: allowed looks leave a row before anything is shown, refused ones too."""

from admin_console.domain.access import View, may_see
from consult.domain.order import Order
from consult.errors import OrderNotFound
from server.kernel.actor import Actor
from server.kernel.audit import Audit, Outcome, audit_row
from server.kernel.clock import Clock
from server.kernel.errors import Forbidden
from server.kernel.ids import is_id


class Guard:
    def __init__(self, audit: Audit, clock: Clock) -> None:
        self._audit = audit
        self._clock = clock

    async def require(self, actor: Actor, view: View, *, subject: str, order_id: str | None = None) -> None:
        """Raises Forbidden, and records the denial, unless one of the actor's roles may see this."""
        if not may_see(actor, view):
            await self._record(actor, view, subject, order_id, Outcome.DENIED)
            raise Forbidden()

    async def require_found(self, actor: Actor, view: View, order: Order | None, order_id: str) -> Order:
        """The order. Raises OrderNotFound, and records the denial, where the actor's hospital has none: it may be another's."""
        if order is None:
            await self._record(actor, view, order_id, order_id, Outcome.DENIED)
            raise OrderNotFound
        return order

    async def record(self, actor: Actor, view: View, *, subject: str, order_id: str | None = None) -> None:
        """The look itself. Call it before what was read is returned: where it cannot be recorded, nothing is shown."""
        await self._record(actor, view, subject, order_id, Outcome.OK)

    async def deny(self, actor: Actor, view: View, *, subject: str, order_id: str | None = None) -> None:
        """A refusal for another reason than the role."""
        await self._record(actor, view, subject, order_id, Outcome.DENIED)

    async def _record(self, actor: Actor, view: View, subject: str, order_id: str | None, outcome: Outcome) -> None:
        """What was asked for may be anything, and is written down only where it has the form of an id."""
        if order_id is not None and not is_id(order_id):
            subject, order_id = "order", None
        row = audit_row(actor, view.value, subject=subject, at=self._clock.now(), order_id=order_id, outcome=outcome)
        await self._audit.record(row)
