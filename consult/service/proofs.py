"""`yunzhen check deadlines`: every deadline that was ever decided, decided again."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from consult.domain.proofs import (
    ConversationWalk,
    DeadlineReport,
    Finding,
    check_order,
    needs_log,
    never_opened,
)
from consult.ports import TimedOrders, WholeLog
from im.domain import Entry
from server.kernel.clock import Clock


@dataclass(slots=True)
class DeadlineProof:
    """Made for one check. Reads each entry and each order once; holds one conversation's state, whatever there is in all."""

    log: WholeLog
    orders: TimedOrders
    clock: Clock
    report: DeadlineReport = field(default_factory=DeadlineReport)

    async def findings(self) -> AsyncIterator[Finding]:
        """Everything that is not as it must be, as it is found; `report` is complete at the end."""
        async for finding in self._of_log():
            yield finding
        async for finding in self._of_orders():
            yield finding

    async def _of_log(self) -> AsyncIterator[Finding]:
        walk: ConversationWalk | None = None
        async for item in self.log.entries():
            if walk is None or walk.conversation_id != item.conversation_id:
                for finding in self._end(walk):
                    yield finding
                walk = ConversationWalk(item.conversation_id, self.report)
            if isinstance(item, Entry):
                for finding in walk.take(item):
                    yield finding
            elif item.erased:
                walk.erased()
            else:
                yield walk.unreadable(item.seq, "it does not open")
        for finding in self._end(walk):
            yield finding

    def _end(self, walk: ConversationWalk | None) -> list[Finding]:
        """By the clock at that moment: what is decided while this runs is read, or is not due for a minute."""
        return [] if walk is None else walk.end(self.clock.now_ms())

    async def _of_orders(self) -> AsyncIterator[Finding]:
        async for order in self.orders.timed():
            now_ms = self.clock.now_ms()
            for finding in check_order(order, now_ms, self.report):
                yield finding
            if needs_log(order, now_ms) and not await self.log.has_log(order.conversation_id, order.hospital_id):
                yield never_opened(order, self.report)
