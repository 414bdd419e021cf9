"""Flagged replies over HTTP."""

from consult.errors import OrderNotFound, ReplyFlagNotFound
from consult.service.fairness import FairnessService
from consult.wire.fairness import ContestIn, ReplyFlagList, ReplyFlagOut, flag_out
from server.kernel.edge import PATIENT, STAFF, Call, Conceal, Route
from server.kernel.errors import Forbidden


def fairness_routes(fairness: FairnessService, conceal: Conceal) -> list[Route]:
    async def list_flags(call: Call) -> ReplyFlagList:
        found = await fairness.list_flags(call.actor, call.path["order_id"])
        return ReplyFlagList(items=[flag_out(flag) for flag in found])

    async def contest(call: Call) -> ReplyFlagOut:
        body: ContestIn = call.body
        seq = call.path["seq"]
        number = int(seq) if seq.isascii() and seq.isdigit() and len(seq) <= 9 else 0
        return flag_out(await fairness.contest(call.actor, call.path["order_id"], number, body.reason))

    async def view(call: Call) -> ReplyFlagOut:
        return flag_out(await fairness.view_flag(call.actor, call.path["flag_id"]))

    return [
        Route(
            "GET",
            "/orders/{order_id}/reply-flags",
            "list_reply_flags",
            "Replies that say too little, or what others were told too.",
            PATIENT,
            list_flags,
            answer=ReplyFlagList,
            errors=(OrderNotFound,),
            conceal=conceal,
            tag="orders",
        ),
        Route(
            "POST",
            "/orders/{order_id}/reply-flags/{seq}/contest",
            "contest_reply",
            "Say that a flagged reply was none; a person looks at it.",
            PATIENT,
            contest,
            body=ContestIn,
            answer=ReplyFlagOut,
            errors=(OrderNotFound, ReplyFlagNotFound),
            conceal=conceal,
            tag="orders",
        ),
        Route(
            "GET",
            "/admin/reply-flags/{flag_id}",
            "view_reply_flag",
            "A contested reply, and what the patient wrote about it.",
            STAFF,
            view,
            answer=ReplyFlagOut,
            errors=(Forbidden, ReplyFlagNotFound),
            tag="admin",
        ),
    ]
