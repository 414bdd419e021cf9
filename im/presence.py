"""Who got how far, and who is writing: told to members as it happens."""

from collections import OrderedDict
from typing import Final

from im.announcer import Announcer
from im.errors import ConversationClosed
from im.receipts import Receipts
from im.service import ConversationLog
from server.kernel.actor import Actor
from server.kernel.clock import Clock

TYPING_EVERY_MS: Final = 1_000
"""One member's typing is told at most this often in a conversation; the rest is acknowledged and dropped."""

_REMEMBERED: Final = 20_000


class Presence:
    def __init__(self, log: ConversationLog, receipts: Receipts, announcer: Announcer, clock: Clock) -> None:
        self._log = log
        self._receipts = receipts
        self._announcer = announcer
        self._clock = clock
        self._told: OrderedDict[tuple[str, str], int] = OrderedDict()

    async def mark(self, actor: Actor, conversation_id: str, seq: int, *, read: bool, except_sid: str | None = None) -> None:
        """The member has, or has read, everything up to `seq`. Members are told when that is news."""
        mark = self._receipts.read if read else self._receipts.deliver
        marked = await mark(actor, conversation_id, seq)
        if marked.moved:
            self._announcer.receipt_moved(marked.receipt, marked.members, except_sid)

    async def typing(self, actor: Actor, conversation_id: str) -> None:
        """The member is writing. Only in an open conversation; a refusal stands on a freshly read log."""
        now = self._clock.now_ms()
        summary = (await self._log.read(conversation_id)).summary
        if actor.account_id not in summary.members or not summary.open or now >= summary.closes_at_ms:
            summary = (await self._log.access(actor, conversation_id)).summary
        if not summary.open or now >= summary.closes_at_ms:
            raise ConversationClosed()
        key = (conversation_id, actor.account_id)
        if 0 <= now - self._told.get(key, now - TYPING_EVERY_MS) < TYPING_EVERY_MS:
            return
        self._told[key] = now
        self._told.move_to_end(key)
        while len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        self._announcer.typing(conversation_id, actor.account_id, tuple(summary.members))
