"""What documents of orders and notices say, told to the sockets of this process alone: for when the bus carries nothing."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

from consult.domain.notices import Notice
from consult.domain.order import Order
from consult.ports import LiveHere
from consult.service.announcer import ORDER_CHANGED
from consult.service.notices import NOTICE
from consult.wire import order_out, to_payload
from consult.wire.notices import notice_out

Document = Mapping[str, Any]
_ORDERS: Final = "orders"
_NOTICES: Final = "notices"


def tellers(
    live: LiveHere, read_order: Callable[[Document], Awaitable[Order]], read_notice: Callable[[Document], Notice]
) -> Mapping[str, Callable[[Document], Awaitable[None]]]:
    """By collection."""

    async def tell_order(document: Document) -> None:
        accounts = (document["patient_account"], document["doctor_id"])
        if any(map(live.is_here, accounts)):
            order = await read_order(document)
            members = (order.patient_account,) if order.paid_at is None else order.members
            live.send_here(members, ORDER_CHANGED, msgspec.json.encode(to_payload(order_out(order))))

    async def tell_notice(document: Document) -> None:
        account_id = document["account_id"]
        if live.is_here(account_id) and document["unread"]:
            live.send_here((account_id,), NOTICE, msgspec.json.encode(to_payload(notice_out(read_notice(document)))))

    return {_ORDERS: tell_order, _NOTICES: tell_notice}
