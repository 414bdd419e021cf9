"""Places of a doctor's day that an entry of a log takes: before it is appended, and given back where it never is.

The log is the truth. A place is claimed first, so that no more orders come to a doctor than the day has room for; the follower
makes it held, or given back, by what the log says; and what a process that died in between left is found by its claim.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from consult.domain.decisions import AlreadyDone
from consult.domain.desk import PlaceClaim
from consult.domain.log import ConsultState
from consult.domain.order import Order
from consult.errors import OrderDailyMaximum
from consult.ports import Decide, Log, OrderRepository, PlaceRepository
from server.kernel.clock import Clock
from server.kernel.errors import DomainError, Unavailable

log = structlog.get_logger(__name__)

CRASHED_AFTER: Final = timedelta(minutes=1)
"""An append is over by then, whether its process lives or not. One that comes later all the same is held by the follower."""


@dataclass(slots=True)
class HeldPlaces:
    places: PlaceRepository
    orders: OrderRepository
    log: Log
    clock: Clock

    async def append(self, order: Order, doctor_id: str, day: str, decide: Decide) -> ConsultState:
        """Append what brings the order to this doctor. Raises OrderDailyMaximum, and whatever `decide` refuses with; then the
        place is free again, unless the log says that it is this doctor's to have."""
        if not await self.places.take(order.hospital_id, doctor_id, day, order.id, claimed_at=self.clock.now()):
            raise OrderDailyMaximum
        try:
            state: ConsultState = (await self.log.append(order.conversation_id, decide)).state
        except AlreadyDone:
            state = (await self.log.read_fresh(order.conversation_id)).state
        except DomainError:
            with suppress(Unavailable):  # then the claim is found
                if (doctor_id, day) not in (await self.log.read_fresh(order.conversation_id)).state.places:
                    await self.places.free(order.hospital_id, doctor_id, day, order.id)
            raise
        return state

    async def settle_claims(self) -> int:
        """Hold or free what was claimed and not settled within a minute. Returns how many there were."""
        before, settled = self.clock.now() - CRASHED_AFTER, 0
        async for claim in self.places.claimed(before):
            try:
                taken = await self._is_taken(claim)
            except Unavailable as error:  # one conversation's trouble must not keep the others
                log.warning("place.claim_not_settled", order_id=claim.order_id, error=type(error).__name__)
                continue
            if taken:
                await self.places.hold(claim.hospital_id, claim.doctor_id, claim.day, claim.order_id)
            else:
                await self.places.free(claim.hospital_id, claim.doctor_id, claim.day, claim.order_id, claimed_before=before)
            settled += 1
        return settled

    async def _is_taken(self, claim: PlaceClaim) -> bool:
        order = await self.orders.find(claim.order_id)
        if order is None:
            return False
        state: ConsultState = (await self.log.read_fresh(order.conversation_id)).state
        return (claim.doctor_id, claim.day) in state.places
