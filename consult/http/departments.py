"""The sentences that all doctors of a department have at hand, kept by medical administrators."""

from typing import Final

from accounts.errors import DepartmentNotFound
from consult.errors import QuickRepliesChanged, QuickRepliesFull, QuickReplyNotFound
from consult.service.desk import DeskService
from consult.wire import QuickReplyIn, QuickReplyList, QuickReplyOrderIn, QuickReplyOut, quick_reply_out
from server.kernel.actor import Actor
from server.kernel.edge import STAFF, Call, Route
from server.kernel.errors import Forbidden

_PATH: Final = "/admin/departments/{department_id}/quick-replies"
_ONE: Final = "/admin/departments/{department_id}/quick-replies/{reply_id}"
_TAG: Final = "admin"


def department_reply_routes(desk: DeskService) -> list[Route]:
    async def department(call: Call, what: str) -> Actor:
        return await desk.administer(call.actor, call.path["department_id"], f"consult.department_reply_{what}")

    async def list_all(call: Call) -> QuickReplyList:
        found = await desk.list_quick_replies(await department(call, "listed"))
        return QuickReplyList(items=[quick_reply_out(reply, "department") for reply in found])

    async def add(call: Call) -> QuickReplyOut:
        body: QuickReplyIn = call.body
        return quick_reply_out(
            await desk.add_quick_reply(await department(call, "added"), call.seed_id, body.text), "department"
        )

    async def change(call: Call) -> QuickReplyOut:
        body: QuickReplyIn = call.body
        owner = await department(call, "changed")
        return quick_reply_out(await desk.change_quick_reply(owner, call.path["reply_id"], body.text), "department")

    async def order(call: Call) -> QuickReplyList:
        body: QuickReplyOrderIn = call.body
        found = await desk.order_quick_replies(await department(call, "ordered"), body.ids)
        return QuickReplyList(items=[quick_reply_out(reply, "department") for reply in found])

    async def delete(call: Call) -> None:
        await desk.delete_quick_reply(await department(call, "deleted"), call.path["reply_id"])

    return [
        Route(
            "GET",
            _PATH,
            "list_department_replies",
            "A department's sentences at hand.",
            STAFF,
            list_all,
            answer=QuickReplyList,
            errors=(Forbidden, DepartmentNotFound),
            tag=_TAG,
        ),
        Route(
            "POST",
            _PATH,
            "add_department_reply",
            "Keep a sentence at hand for a department.",
            STAFF,
            add,
            body=QuickReplyIn,
            answer=QuickReplyOut,
            status=201,
            errors=(Forbidden, DepartmentNotFound, QuickRepliesFull),
            tag=_TAG,
        ),
        Route(
            "PATCH",
            _ONE,
            "change_department_reply",
            "Change a department's sentence.",
            STAFF,
            change,
            body=QuickReplyIn,
            answer=QuickReplyOut,
            errors=(Forbidden, DepartmentNotFound, QuickReplyNotFound),
            tag=_TAG,
        ),
        Route(
            "PUT",
            f"{_PATH}/order",
            "order_department_replies",
            "Put a department's sentences in order, as its doctors see them.",
            STAFF,
            order,
            body=QuickReplyOrderIn,
            answer=QuickReplyList,
            errors=(Forbidden, DepartmentNotFound, QuickRepliesChanged),
            tag=_TAG,
        ),
        Route(
            "DELETE",
            _ONE,
            "delete_department_reply",
            "Delete a department's sentence.",
            STAFF,
            delete,
            status=204,
            errors=(Forbidden, DepartmentNotFound, QuickReplyNotFound),
            tag=_TAG,
        ),
    ]
