"""What favourites need from the outside."""

from collections.abc import Sequence
from typing import Protocol

from im.favourites.domain import Favourite
from server.kernel.actor import Actor


class Messages(Protocol):
    """`im.history.History`."""

    async def get_message(self, actor: Actor, conversation_id: str, seq: int) -> bytes:
        """The message as it stands, for a member. Raises ConversationNotFound for anyone else, MessageNotFound for what is no
        message."""
        ...


class FavouriteRepository(Protocol):
    async def list_all(self, actor: Actor) -> Sequence[Favourite]:
        """Newest first."""
        ...

    async def add(self, actor: Actor, favourite: Favourite) -> bool:
        """While there is room and it is not there."""
        ...

    async def label(self, actor: Actor, favourite_id: str, label: str) -> bool: ...

    async def remove(self, actor: Actor, favourite_id: str) -> bool: ...
