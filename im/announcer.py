"""Tells members what was appended: every socket of all who are members after that entry, but the one that sent it."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any, Final

import structlog

from im.domain import Entry, Receipt
from im.live import LiveHub
from im.names import NameBook
from im.ports import Rules
from im.wire import Typing, as_json, render, render_receipt

log = structlog.get_logger(__name__)

MESSAGE_NEW: Final = "message.new"
RECEIPT: Final = "receipt"
TYPING: Final = "typing"


class Sending:
    """A command on its way into the log: the socket that it came from and, once it is stored, its entry as JSON."""

    __slots__ = ("body", "sid")

    def __init__(self, sid: str | None) -> None:
        self.sid = sid
        self.body: bytes | None = None


class Announcer:
    """An `im.ports.EntryListener`. An entry is encoded once, for the ack, for every socket and for the other processes."""

    def __init__(self, rules: Rules, hub: LiveHub, names: NameBook) -> None:
        self._rules = rules
        self._hub = hub
        self._names = names
        self._sending: dict[tuple[str, str | None, str | None], Sending] = {}
        self._late: set[asyncio.Task[None]] = set()

    def expect(self, conversation_id: str, account_id: str, client_id: str, sid: str) -> Sending:
        """This socket is about to append under this client id. Follow it with `rendered` or `forget`."""
        sending = self._sending[conversation_id, account_id, client_id] = Sending(sid)
        return sending

    def forget(self, conversation_id: str, account_id: str, client_id: str) -> None:
        """Nothing was appended, or nobody knows: if it is, this socket is told of it like any other."""
        self._sending.pop((conversation_id, account_id, client_id), None)

    def rendered(self, entry: Entry, sending: Sending) -> bytes:
        """The entry that this socket appended, as JSON; encoded here or by the announcement, whichever came first."""
        if sending.body is None:
            sending.body = self.render(entry)
        return sending.body

    def render(self, entry: Entry) -> bytes:
        """A fresh entry as JSON, with the sender's name as it is known."""
        sender = entry.draft.sender
        return render(entry, None if sender is None else self._names.find(sender))

    def entry_appended(self, entry: Entry, state: Any) -> None:
        draft = entry.draft
        sending = self._sending.pop((entry.conversation_id, draft.sender, draft.client_id), None)
        members = tuple(self._rules.summary(state).members)
        # Who sends over a socket was asked for his name before.
        if sending is not None or draft.sender is None or self._names.is_usable(draft.sender):
            self._announce(entry, members, sending or Sending(None))
        else:
            task = asyncio.get_running_loop().create_task(self._announce_late(entry, members, draft.sender))
            self._late.add(task)
            task.add_done_callback(self._late.discard)

    def receipt_moved(self, receipt: Receipt, members: tuple[str, ...], except_sid: str | None = None) -> None:
        """Tell members how far one of them got."""
        self._hub.send(
            members,
            RECEIPT,
            as_json(render_receipt(receipt)),
            except_sid,
        )

    def receipt_here(self, receipt: Receipt, members: tuple[str, ...]) -> None:
        """The same to the sockets of this process alone, where another one stored it."""
        self._hub.send_here(members, RECEIPT, as_json(render_receipt(receipt)))

    def typing(self, conversation_id: str, account_id: str, members: tuple[str, ...]) -> None:
        """Tell the other members that one of them is typing."""
        others = tuple(member for member in members if member != account_id)
        self._hub.send(others, TYPING, as_json(Typing(conversation_id, account_id)))

    async def tell_here(self, entries: Sequence[Entry], members: Collection[str], recalled: Collection[int]) -> None:
        """Tell the members' sockets in this process alone of what another one appended."""
        if not any(self._hub.is_here(member) for member in members):
            return
        await self._names.learn({entry.draft.sender for entry in entries if entry.draft.sender is not None})
        for entry in entries:
            sender = entry.draft.sender
            name = None if sender is None else self._names.find(sender)
            self._hub.send_here(members, MESSAGE_NEW, render(entry, name, recalled=entry.seq in recalled))

    async def close(self) -> None:
        """Let the late ones be told."""
        await asyncio.gather(*self._late, self._names.close(), return_exceptions=True)

    def _announce(self, entry: Entry, members: tuple[str, ...], sending: Sending) -> None:
        self._hub.send(members, MESSAGE_NEW, self.rendered(entry, sending), sending.sid)

    async def _announce_late(self, entry: Entry, members: tuple[str, ...], sender: str) -> None:
        """The name must be asked for first. Without it the message is told all the same: the client can ask again."""
        try:
            await self._names.learn([sender])
        except Exception as error:  # a hint must not be lost because a name is
            log.warning("im.name_unknown", conversation_id=entry.conversation_id, error=type(error).__name__)
        self._announce(entry, members, Sending(None))
