"""The conversation's commands over sockets: parse, call one service method, map the result."""

from typing import Final

import msgspec

from im.announcer import MESSAGE_NEW, RECEIPT, TYPING, Announcer
from im.commands import OK, SocketCall, SocketCommand, SocketEvent, SocketHandler, acknowledge
from im.domain import RecallMessage, SendMessage
from im.errors import (
    ConversationClosed,
    ConversationFlooded,
    ConversationFull,
    ConversationNotFound,
    ConversationQuotaExhausted,
    MessageAlreadyRecalled,
    MessageCardRefused,
    MessageNotSender,
    MessageRecallExpired,
    MessageRecallRefused,
)
from im.history import History
from im.names import NameBook
from im.presence import Presence
from im.service import ConversationLog
from im.wire import (
    EmptyAck,
    Message,
    MessageAck,
    RecallBody,
    Receipt,
    ReceiptBody,
    SendBody,
    SessionRevoked,
    SyncAck,
    SyncBody,
    Typing,
    TypingBody,
    plain_parts,
    render_conversation,
    render_sync,
)
from server.kernel.edge import PATIENT_OR_DOCTOR
from server.kernel.errors import DomainError, IdempotencyMismatch

SEND_ERRORS: Final = (
    ConversationNotFound,
    ConversationClosed,
    ConversationQuotaExhausted,
    ConversationFlooded,
    ConversationFull,
    MessageCardRefused,
    IdempotencyMismatch,
)
MISSING: Final = (ConversationNotFound,)
RECALL_ERRORS: Final = (
    ConversationNotFound,
    MessageNotSender,
    MessageRecallExpired,
    MessageRecallRefused,
    MessageAlreadyRecalled,
    IdempotencyMismatch,
)


class _Handlers:
    def __init__(
        self, log: ConversationLog, announcer: Announcer, names: NameBook, history: History, presence: Presence
    ) -> None:
        self._log = log
        self._announcer = announcer
        self._names = names
        self._history = history
        self._presence = presence

    async def send(self, call: SocketCall) -> bytes:
        body: SendBody = call.body
        command = SendMessage(call.actor.account_id, body.client_id, plain_parts(body.parts), body.corrects)
        return await self._append(call, body.conversation_id, command)

    async def recall(self, call: SocketCall) -> bytes:
        body: RecallBody = call.body
        command = RecallMessage(call.actor.account_id, body.client_id, body.seq)
        return await self._append(call, body.conversation_id, command)

    async def _append(self, call: SocketCall, conversation_id: str, command: SendMessage | RecallMessage) -> bytes:
        """Acknowledge what stands in the log; this socket needs no `message.new` for it."""
        account_id = call.actor.account_id
        if not self._names.is_usable(account_id):
            await self._names.learn([account_id])
        sending = self._announcer.expect(conversation_id, account_id, command.client_id, call.sid)
        appended = None
        try:
            if isinstance(command, SendMessage):
                appended = await self._log.send(call.actor, conversation_id, command)
            else:
                appended = await self._log.recall(call.actor, conversation_id, command)
        finally:
            if appended is None or appended.repeated:
                self._announcer.forget(conversation_id, account_id, command.client_id)
        if appended.repeated:
            return acknowledge("message", await self._history.render_repeated(appended))
        return acknowledge("message", self._announcer.rendered(appended.entry, sending))

    async def delivered(self, call: SocketCall) -> bytes:
        body: ReceiptBody = call.body
        await self._presence.mark(call.actor, body.conversation_id, body.seq, read=False, except_sid=call.sid)
        return OK

    async def read(self, call: SocketCall) -> bytes:
        body: ReceiptBody = call.body
        await self._presence.mark(call.actor, body.conversation_id, body.seq, read=True, except_sid=call.sid)
        return OK

    async def typing(self, call: SocketCall) -> bytes:
        body: TypingBody = call.body
        await self._presence.typing(call.actor, body.conversation_id)
        return OK

    async def sync(self, call: SocketCall) -> bytes:
        body: SyncBody = call.body
        result = await self._history.sync(call.actor, body.cursors)
        return render_sync(
            result.epoch,
            [
                render_conversation(
                    each.snapshot, each.messages, more=each.more, receipts=each.marks.receipts, unread=each.marks.unread
                )
                for each in result.conversations
            ],
        )


def commands(
    log: ConversationLog, announcer: Announcer, names: NameBook, history: History, presence: Presence
) -> list[SocketCommand]:
    """What members may ask for."""
    do = _Handlers(log, announcer, names, history, presence)

    def command(
        name: str,
        summary: str,
        body: type[msgspec.Struct],
        answer: type[msgspec.Struct],
        handler: SocketHandler,
        errors: tuple[type[DomainError], ...],
        *,
        writes: bool = False,
    ) -> SocketCommand:
        return SocketCommand(name, summary, PATIENT_OR_DOCTOR, body, answer, handler, errors, writes)

    return [
        command("message.send", "Say something.", SendBody, MessageAck, do.send, SEND_ERRORS, writes=True),
        command("message.recall", "Take a message back.", RecallBody, MessageAck, do.recall, RECALL_ERRORS, writes=True),
        command("receipt.delivered", "All up to here has arrived.", ReceiptBody, EmptyAck, do.delivered, MISSING),
        command("receipt.read", "All up to here was read.", ReceiptBody, EmptyAck, do.read, MISSING),
        command("typing", "The user is writing.", TypingBody, EmptyAck, do.typing, (ConversationNotFound, ConversationClosed)),
        command("conversation.sync", "What happened since.", SyncBody, SyncAck, do.sync, MISSING),
    ]


def events() -> list[SocketEvent]:
    """What members are told without asking."""
    return [
        SocketEvent(MESSAGE_NEW, "An entry was appended to a conversation.", Message),
        SocketEvent(RECEIPT, "A member received or read.", Receipt),
        SocketEvent(TYPING, "A member is writing.", Typing),
        SocketEvent("session.revoked", "This session has ended; the socket closes.", SessionRevoked),
    ]
