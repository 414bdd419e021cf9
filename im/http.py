"""Conversations over HTTP: history, and sending with the same rules as over a socket."""

from collections.abc import Mapping

from im.announcer import Announcer
from im.domain import SendMessage
from im.errors import ConversationNotFound
from im.history import History
from im.listing import ConversationList
from im.names import NameBook
from im.service import ConversationLog
from im.socket import SEND_ERRORS
from im.wire import (
    MAX_SEQ,
    ConversationPage,
    ConversationQuery,
    HistoryQuery,
    MessageModel,
    MessagePage,
    SendModel,
    as_json,
    render_listed,
)
from server.kernel.actor import Actor
from server.kernel.edge import PATIENT_OR_DOCTOR, Call, Reply, Route
from server.kernel.errors import RequestInvalid
from server.kernel.wire import decode_cursor, encode_cursor

_JSON = "application/json"


class _Handlers:
    def __init__(
        self, log: ConversationLog, announcer: Announcer, names: NameBook, history: History, listing: ConversationList
    ) -> None:
        self._log = log
        self._announcer = announcer
        self._names = names
        self._history = history
        self._listing = listing

    async def list_conversations(self, call: Call) -> Reply:
        query: ConversationQuery = call.query
        listed, cursor = await self._listing.list_conversations(
            call.actor, open_only=query.open, limit=query.limit, cursor=query.cursor
        )
        items = (
            render_listed(each.snapshot, each.last, receipts=each.marks.receipts, unread=each.marks.unread) for each in listed
        )
        return Reply(b'{"items":[%b],"next_cursor":%b}' % (b",".join(items), as_json(cursor)), content_type=_JSON)

    async def list_messages(self, call: Call) -> Reply:
        query: HistoryQuery = call.query
        after_seq, before_seq = _place(query)
        messages, page = await self._history.list_messages(
            call.actor, call.path["conversation_id"], after_seq=after_seq, before_seq=before_seq, limit=query.limit
        )
        cursor = b"null"
        if page.more and page.entries:
            ahead = after_seq is not None
            place = page.entries[-1].seq if ahead else page.entries[0].seq
            cursor = b'"%b"' % encode_cursor("after" if ahead else "before", place).encode()
        return Reply(b'{"items":[%b],"next_cursor":%b}' % (b",".join(messages), cursor), content_type=_JSON)

    async def send(self, call: Call) -> Reply:
        body: SendModel = call.body
        actor, conversation_id = call.actor, call.path["conversation_id"]
        parts = tuple(part.model_dump() for part in body.parts)
        await self._names.learn([actor.account_id])
        command = SendMessage(actor.account_id, body.client_id, parts, body.corrects)
        appended = await self._log.send(actor, conversation_id, command)
        if appended.repeated:
            message = await self._history.render_repeated(appended)
        else:
            message = self._announcer.render(appended.entry)
        return Reply(message, content_type=_JSON)


def _place(query: HistoryQuery) -> tuple[int | None, int | None]:
    """`(after_seq, before_seq)`, exactly one of them set. A cursor goes on from where it was given out, whatever the page
    that gave it out had been asked for by: clients repeat that beside it."""
    if query.after_seq is not None and query.before_seq is not None:
        raise RequestInvalid(query="takes one of after_seq and before_seq")
    if query.cursor is not None:
        way, place = decode_cursor(query.cursor, str, int)
        if way not in ("after", "before") or not 1 <= place <= MAX_SEQ:
            raise RequestInvalid(cursor="is not one of ours")
        return (place, None) if way == "after" else (None, place)
    if query.before_seq is not None:
        return None, query.before_seq
    return query.after_seq or 0, None


def routes(
    log: ConversationLog, announcer: Announcer, names: NameBook, history: History, listing: ConversationList
) -> list[Route]:
    do = _Handlers(log, announcer, names, history, listing)
    path = "/conversations/{conversation_id}/messages"

    async def conceal(actor: Actor, path: Mapping[str, str]) -> None:
        await log.access(actor, path["conversation_id"])

    return [
        Route(
            "GET",
            "/conversations",
            "list_conversations",
            "One's conversations, the newest order's first, each with its last entry.",
            PATIENT_OR_DOCTOR,
            do.list_conversations,
            query=ConversationQuery,
            answer=ConversationPage,
        ),
        Route(
            "GET",
            path,
            "list_messages",
            "Messages of a conversation, ascending.",
            PATIENT_OR_DOCTOR,
            do.list_messages,
            query=HistoryQuery,
            answer=MessagePage,
            errors=(ConversationNotFound,),
            conceal=conceal,
        ),
        Route(
            "POST",
            path,
            "send_message",
            "Say something, by the same rules as over a socket.",
            PATIENT_OR_DOCTOR,
            do.send,
            body=SendModel,
            answer=MessageModel,
            status=201,
            errors=SEND_ERRORS,
            conceal=conceal,
        ),
    ]
