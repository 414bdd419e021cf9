"""Search terms follow the log: a consumer of the keeper's follower."""

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from im.domain import Entry, EntryKind
from im.search.domain import TermRun, term_entry_of
from im.search.ports import Hospitals, TermRepository
from server.kernel.crypto import Keyring

_REMEMBERED: Final = 20_000


class SearchTerms:
    """Implements `im.ports.EntryConsumer`, and `im.follower.Rebuilt`: any entries may come again at any time."""

    name = "search-terms"

    def __init__(self, terms: TermRepository, hospitals: Hospitals, keyring: Keyring) -> None:
        self._terms = terms
        self._hospitals = hospitals
        self._keyring = keyring
        self._known: OrderedDict[str, str] = OrderedDict()

    async def find_log_seqs(self, conversation_ids: Collection[str]) -> Mapping[str, int]:
        return await self._terms.find_log_seqs(conversation_ids)

    async def consume(self, runs: Mapping[str, Sequence[Entry]]) -> None:
        await self._terms.write([await self._run(conversation_id, entries) for conversation_id, entries in runs.items()])

    async def _run(self, conversation_id: str, entries: Sequence[Entry]) -> TermRun:
        hospital_id = await self._hospital(conversation_id)
        keys = await self._keyring.hospital(hospital_id)
        kept = tuple(made for entry in entries if (made := term_entry_of(entry, keys)) is not None)
        recalls = tuple(
            entry.draft.recalls for entry in entries if entry.draft.kind is EntryKind.RECALL and entry.draft.recalls is not None
        )
        return TermRun(conversation_id, hospital_id, kept, recalls, entries[-1].seq)

    async def forget(self, conversation_id: str) -> None:
        """Before everything of it comes again."""
        await self._terms.forget(conversation_id, await self._hospital(conversation_id))

    async def _hospital(self, conversation_id: str) -> str:
        known = self._known.get(conversation_id)
        if known is None:
            known = await self._hospitals.find_hospital(conversation_id)
            assert known is not None, "an entry of it came, so it has one"
            self._known[conversation_id] = known
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return known
