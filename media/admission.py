"""How many bytes of uploads are in memory at one time: of everybody, and of one account.

An upload is held in memory while it arrives and is decoded; who sends many at once, or very slowly, must not take that memory
from all others. What does not fit is refused at once, to be tried again.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from media.domain import MAX_UPLOAD_BYTES
from server.kernel.actor import Actor
from server.kernel.errors import RequestRateLimited

TOTAL_BYTES: Final = 256 * 1024 * 1024
ACCOUNT_BYTES: Final = 64 * 1024 * 1024
_RETRY_SECONDS: Final = 2


class Admission:
    """Counts for one process."""

    def __init__(self, *, total_bytes: int = TOTAL_BYTES, account_bytes: int = ACCOUNT_BYTES) -> None:
        self._total_bytes = total_bytes
        self._account_bytes = account_bytes
        self._by_account: Counter[str] = Counter()

    @contextmanager
    def admit(self, actor: Actor, announced_bytes: int | None) -> Iterator[None]:
        """Room for one upload of the announced size; unannounced, of the largest. Raises RequestRateLimited."""
        size = MAX_UPLOAD_BYTES if announced_bytes is None else min(announced_bytes, MAX_UPLOAD_BYTES)
        used = self._by_account[actor.account_id]
        if used + size > self._account_bytes or self._by_account.total() + size > self._total_bytes:
            raise RequestRateLimited(retry_after_seconds=_RETRY_SECONDS)
        self._by_account[actor.account_id] += size
        try:
            yield
        finally:
            self._by_account[actor.account_id] -= size
            if not self._by_account[actor.account_id]:
                del self._by_account[actor.account_id]
