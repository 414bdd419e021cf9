"""What of flagged replies crosses the network."""

from typing import Annotated

from pydantic import StringConstraints

from consult.domain.fairness import Flaw, ReplyFlag
from consult.wire import Reason
from server.kernel.wire import Instant, Page, WireModel


class ContestIn(WireModel):
    """Why this was no reply."""

    reason: Annotated[Reason, StringConstraints(pattern=r"\S")]


class ReplyFlagOut(WireModel):
    """`flaw`: `empty` says too little to answer anything, `repeated` is what the doctor wrote to others too."""

    flag_id: str
    order_id: str
    conversation_id: str
    seq: int
    flaw: Flaw
    flagged_at: Instant
    contested_at: Instant | None
    reason: str


class ReplyFlagList(Page[ReplyFlagOut]):
    """All of them, in the order of the conversation."""


def flag_out(flag: ReplyFlag) -> ReplyFlagOut:
    return ReplyFlagOut(
        flag_id=flag.id,
        order_id=flag.order_id,
        conversation_id=flag.conversation_id,
        seq=flag.seq,
        flaw=flag.flaw,
        flagged_at=flag.flagged_at,
        contested_at=flag.contested_at,
        reason=flag.reason,
    )
