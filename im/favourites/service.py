"""Favourites: kept by whoever may see the message, shown as the message stands then."""

from dataclasses import dataclass

from im.errors import ConversationNotFound, FavouriteNotFound, FavouritesFull
from im.favourites.domain import Favourite, ShownFavourite, favourite_id_of
from im.favourites.ports import FavouriteRepository, Messages
from server.kernel.actor import Actor
from server.kernel.audit import Audit, audit_row
from server.kernel.clock import Clock, to_ms
from server.kernel.wire import decode_cursor, encode_cursor


@dataclass(slots=True)
class FavouriteService:
    """An account's favourites are its own; each look at one is a look at its conversation, and asked as such."""

    favourites: FavouriteRepository
    messages: Messages
    audit: Audit
    clock: Clock

    async def add(self, actor: Actor, conversation_id: str, seq: int, label: str) -> ShownFavourite:
        """Keep a message; the same again is the same one. Raises ConversationNotFound, MessageNotFound, FavouritesFull."""
        message = await self.messages.get_message(actor, conversation_id, seq)
        made = Favourite(favourite_id_of(actor.account_id, conversation_id, seq), conversation_id, seq, label, self.clock.now())
        if not await self.favourites.add(actor, made):
            made = await self._find(actor, made.id)
        await self._record(actor, "im.favourite_added", made.id)
        return ShownFavourite(made, message)

    async def list_favourites(self, actor: Actor, limit: int, cursor: str | None) -> tuple[list[ShownFavourite], str | None]:
        """Newest first, each with its message as it stands now, and where to go on."""
        found = sorted(await self.favourites.list_all(actor), key=_place, reverse=True)
        if cursor is not None:
            at_ms, favourite_id = decode_cursor(cursor, int, str)
            found = [each for each in found if _place(each) < (at_ms, favourite_id)]
        page = found[:limit]
        shown = [ShownFavourite(each, await self._message(actor, each)) for each in page]
        return shown, encode_cursor(*_place(page[-1])) if len(found) > limit else None

    async def label(self, actor: Actor, favourite_id: str, label: str) -> ShownFavourite:
        """Call it something else. Raises FavouriteNotFound."""
        if not await self.favourites.label(actor, favourite_id, label):
            raise FavouriteNotFound
        favourite = await self._find(actor, favourite_id)
        return ShownFavourite(favourite, await self._message(actor, favourite))

    async def remove(self, actor: Actor, favourite_id: str) -> None:
        """Raises FavouriteNotFound."""
        if not await self.favourites.remove(actor, favourite_id):
            raise FavouriteNotFound
        await self._record(actor, "im.favourite_removed", favourite_id)

    async def _message(self, actor: Actor, favourite: Favourite) -> bytes | None:
        try:
            return await self.messages.get_message(actor, favourite.conversation_id, favourite.seq)
        except ConversationNotFound:
            return None

    async def _find(self, actor: Actor, favourite_id: str) -> Favourite:
        """One that is there; where it is not, there was no room for it, or it went meanwhile."""
        for favourite in await self.favourites.list_all(actor):
            if favourite.id == favourite_id:
                return favourite
        raise FavouritesFull

    async def _record(self, actor: Actor, action: str, favourite_id: str) -> None:
        await self.audit.record(audit_row(actor, action, subject=favourite_id, at=self.clock.now()))


def _place(favourite: Favourite) -> tuple[int, str]:
    return to_ms(favourite.created_at), favourite.id
