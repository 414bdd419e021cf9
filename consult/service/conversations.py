"""What the packages below ask of the product: how a conversation begins, whose is open, who may see a medium."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from consult.domain.order import Order, find_opening
from consult.domain.status import Phase
from consult.ports import Log, OrderRepository
from consult.service.access import is_member
from im.domain import Opening
from im.errors import ConversationNotFound
from im.search.domain import Scoped
from server.kernel.actor import Actor, Role, StaffRole
from server.kernel.ids import is_id

CONVERSATION: Final = "conversation"
ORDER: Final = "order"


@dataclass(slots=True)
class ConsultOpener:
    """Implements `im.ports.Opener`."""

    orders: OrderRepository

    async def find_opening(self, conversation_id: str) -> Opening | None:
        """The first entry, from the order as captured; None for what is unknown or not paid."""
        order = await self.orders.find_by_conversation(conversation_id)
        return None if order is None else find_opening(order)


@dataclass(slots=True)
class ConsultDirectory:
    """Implements `im.ports.Directory`."""

    orders: OrderRepository

    async def list_open_conversations(self, actor: Actor, limit: int) -> Sequence[str]:
        return await self.orders.list_open_conversations(actor, limit)

    async def list_scope(
        self, actor: Actor, *, limit: int, start: tuple[int, str] | None, open_only: bool = False
    ) -> Sequence[Scoped]:
        """Implements `im.search.ports.Scope`."""
        return await self.orders.list_scope(actor, limit, start, open_only=open_only)


@dataclass(slots=True)
class MediaOwners:
    """Implements `media.ports.Owners`: what is shown in a conversation or an order, to its members, as of now."""

    orders: OrderRepository
    log: Log

    async def may_see(self, actor: Actor, owner_kind: str, owner_id: str, media_id: str) -> bool:
        if not is_id(owner_id):
            return False
        if owner_kind == ORDER:
            order = await self.orders.find(owner_id)
            if order is not None and actor.role is Role.DOCTOR and order.phase is Phase.CAPTURED:
                with suppress(ConversationNotFound):  # a referral changes whose it is, before the document says so
                    order = order.with_log((await self.log.read_fresh(order.conversation_id)).state)
            return order is not None and _may_see_in_order(actor, order, media_id)
        if owner_kind == CONVERSATION:
            return await self._may_see_in_conversation(actor, owner_id, media_id)
        return False

    async def names(self, owner_kind: str, owner_id: str, media_id: str) -> bool:
        """A conversation that is not there names nothing; one that cannot be read raises."""
        if owner_kind == ORDER:
            order = await self.orders.find(owner_id)
            return order is not None and media_id in (*order.image_ids, *_shown_after(order))
        try:
            return await self.log.names_media(owner_id, media_id)
        except ConversationNotFound:
            return False

    async def _may_see_in_conversation(self, actor: Actor, conversation_id: str, media_id: str) -> bool:
        """Shown by a message that is not recalled, to whoever is a member of that freshly read log."""
        try:
            if not await self.log.find_media(conversation_id, media_id):
                return False
            snapshot = await self.log.read(conversation_id)
        except ConversationNotFound:
            return False
        return actor.account_id in snapshot.summary.members


def _shown_after(order: Order) -> tuple[str, ...]:
    """Pictures of its after-sales case."""
    return () if order.after_sales is None else order.after_sales.image_ids


def _may_see_in_order(actor: Actor, order: Order, media_id: str) -> bool:
    """Pictures of the complaint are its members' to see; those of an after-sales case the patient's, and of who decides it."""
    if media_id in order.image_ids and is_member(actor, order):
        return True
    if media_id not in _shown_after(order):
        return False
    if actor.role is Role.STAFF:
        return actor.hospital_id == order.hospital_id and StaffRole.MEDICAL_ADMIN in actor.staff_roles
    return actor.role is Role.PATIENT and is_member(actor, order)
