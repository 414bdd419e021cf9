"""Custody over HTTP: ask, answer, look."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self

from pydantic import Field

from admin_console.domain.custody import MOST_REASON, Reveal, RevealState
from admin_console.errors import NothingRecalled, RevealClosed, RevealNeedsAnother, RevealNotFound
from admin_console.service.custody import Custody
from consult.errors import OrderNotFound
from server.kernel.clock import from_ms
from server.kernel.edge import STAFF, Call, Route
from server.kernel.errors import Forbidden
from server.kernel.wire import Instant, OneLine, WireModel

_TAG = "admin"
_MOST_SEQ = 1_000_000


class RevealIn(WireModel):
    """`reason` is for the second person, who answers by it."""

    seq: Annotated[int, Field(ge=1, le=_MOST_SEQ)]
    reason: Annotated[OneLine, Field(min_length=4, max_length=MOST_REASON)]


class RevealAnswerIn(WireModel):
    agrees: bool


class RevealOut(WireModel):
    reveal_id: str
    order_id: str
    seq: int
    reason: str
    state: RevealState
    asked_by: str
    asked_at: Instant
    decided_by: str | None
    decided_at: Instant | None

    @classmethod
    def of(cls, reveal: Reveal) -> Self:
        return cls(**_shown(reveal))


class RevealList(WireModel):
    items: Sequence[RevealOut]


class RevealedOut(RevealOut):
    """With the message as it was sent."""

    sender: str | None
    role: str
    sent_at: Instant
    parts: Sequence[Mapping[str, Any]]


def custody_routes(custody: Custody) -> list[Route]:
    async def ask(call: Call) -> RevealOut:
        body: RevealIn = call.body
        order_id = call.path["order_id"]
        return RevealOut.of(await custody.ask(call.actor, order_id, body.seq, body.reason, reveal_id=call.seed_id))

    async def show_all(call: Call) -> RevealList:
        return RevealList(items=[RevealOut.of(reveal) for reveal in await custody.list_newest(call.actor)])

    async def decide(call: Call) -> RevealOut:
        body: RevealAnswerIn = call.body
        return RevealOut.of(await custody.decide(call.actor, call.path["reveal_id"], agrees=body.agrees))

    async def show(call: Call) -> RevealedOut:
        revealed = await custody.show(call.actor, call.path["reveal_id"])
        said = revealed.entry.draft
        return RevealedOut(
            **_shown(revealed.reveal),
            sender=said.sender,
            role=said.role,
            sent_at=from_ms(revealed.entry.at_ms),
            parts=list(said.parts),
        )

    return [
        Route(
            method="POST",
            path="/admin/orders/{order_id}/reveals",
            name="ask_reveal",
            summary="Ask to see a recalled message; a second person must agree",
            roles=STAFF,
            handler=ask,
            body=RevealIn,
            answer=RevealOut,
            status=201,
            errors=(Forbidden, OrderNotFound, NothingRecalled),
            tag=_TAG,
        ),
        Route(
            method="GET",
            path="/admin/reveals",
            name="list_reveals",
            summary="Requests to see recalled messages, newest first",
            roles=STAFF,
            handler=show_all,
            answer=RevealList,
            errors=(Forbidden,),
            tag=_TAG,
        ),
        Route(
            method="POST",
            path="/admin/reveals/{reveal_id}/decision",
            name="decide_reveal",
            summary="Agree to a request, or refuse it, as the second person",
            roles=STAFF,
            handler=decide,
            body=RevealAnswerIn,
            answer=RevealOut,
            errors=(Forbidden, RevealNotFound, RevealNeedsAnother, RevealClosed),
            tag=_TAG,
        ),
        Route(
            method="GET",
            path="/admin/reveals/{reveal_id}",
            name="show_reveal",
            summary="The recalled message itself, for the two who agreed, for a day",
            roles=STAFF,
            handler=show,
            answer=RevealedOut,
            errors=(Forbidden, RevealNotFound, RevealNeedsAnother, RevealClosed, NothingRecalled),
            tag=_TAG,
        ),
    ]


def _shown(reveal: Reveal) -> dict[str, Any]:
    names = ("order_id", "seq", "reason", "state", "asked_by", "asked_at", "decided_by", "decided_at")
    return {"reveal_id": reveal.id} | {name: getattr(reveal, name) for name in names}
