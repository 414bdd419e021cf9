"""What documents of orders and notices say, told to the sockets of this process alone: for when the bus carries nothing."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

from consult.domain.notices import Notice
from consult.domain.order import Order
from consult.ports import LiveHere
from consult.service.announcer import ORDER_CHANGED
from consult.service.notices import NOTICE, NOTICES_READ
from consult.wire import order_out, to_payload
from consult.wire.notices import BadgeOut, notice_out

Document = Mapping[str, Any]
_ORDERS: Final = "orders"
_NOTICES: Final = "notices"


def speaks_for(collection: str, document: Document) -> str:
    """Of documents of which this is the same only the last is told: all notices that somebody read are one badge."""
    if collection == _NOTICES and not document["unread"]:
        return f"read by {document['account_id']}"
    return str(document["_id"])


def tellers(
    live: LiveHere,
    read_order: Callable[[Document], Awaitable[Order]],
    read_notice: Callable[[Document], Notice],
    count_unread: Callable[[str], Awaitable[int]],
) -> Mapping[str, Callable[[Document], Awaitable[None]]]:
    """By collection. `count_unread` gives an account's badge."""

    async def tell_order(document: Document) -> None:
        accounts = (document["patient_account"], document["doctor_id"])
        if any(map(live.is_here, accounts)):
            order = await read_order(document)
            members = (order.patient_account,) if order.paid_at is None else order.members
            live.send_here(members, ORDER_CHANGED, msgspec.json.encode(to_payload(order_out(order))))

    async def tell_notice(document: Document) -> None:
        account_id = document["account_id"]
        if not live.is_here(account_id):
            return
        if document["unread"]:
            live.send_here((account_id,), NOTICE, msgspec.json.encode(to_payload(notice_out(read_notice(document)))))
        else:
            badge = BadgeOut(unread=await count_unread(account_id))
            live.send_here((account_id,), NOTICES_READ, msgspec.json.encode(to_payload(badge)))

    return {_ORDERS: tell_order, _NOTICES: tell_notice}
