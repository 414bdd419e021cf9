"""Cards that point at something: whoever sends one must be allowed to see what it points at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from consult.ports import SharedRecords
from im.cards import CardKind
from server.kernel.actor import Actor


@dataclass(slots=True)
class OrderCards:
    """Implements `im.ports.CardGate`."""

    records: SharedRecords

    async def check_cards(self, actor: Actor, order_id: str, cards: Sequence[Mapping[str, Any]]) -> None:
        """A record is shared by its id alone, and only by who could open it now. Raises RecordAccessDenied, RecordNotFound."""
        for card in cards:
            if card["card"] == CardKind.RECORD_SHARED:
                await self.records.share_record(actor, order_id, card["data"]["record_id"])
