"""Whether history is what was written: every chain walked again, every checkpoint held against it.

An item that was edited, dropped, moved or cut off is named by its stream and number. What no checkpoint covers yet (the last
minute) is held by its chain alone: there a cut of the end cannot be seen.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from admin_console.domain.checkpoints import Checkpoint, Head, is_signed
from server.kernel.audit import AuditRow, Outcome, row_hash
from server.kernel.clock import from_ms
from server.kernel.streams import GENESIS, link, parse_position

LOG: Final = "log"
AUDIT: Final = "audit"

_POSITION_BYTES: Final = 24
_MOST_EXPLAINED: Final = 24
"""Among so many broken links of one stream it is worth looking for items that changed places."""

_FIELDS: Final = {
    LOG: frozenset({"_id", "hospital_id", "id", "v", "kind", "at", "body", "hash"}),
    AUDIT: frozenset(
        {"_id", "audit_id", "at", "hospital_id", "account_id", "role", "action", "subject", "order_id", "outcome"}
        | {"request_id", "address", "hash"}
    ),
}


class Damage(StrEnum):
    EDITED = "edited"
    """The item at this number does not follow from what stands before it: it was changed, or the one before with its hash."""
    DROPPED = "dropped"
    """Numbers are missing with later ones there."""
    REORDERED = "reordered"
    """What stands here was written for another number of this stream."""
    TRUNCATED = "truncated"
    """A checkpoint saw more than there is."""
    REWRITTEN = "rewritten"
    """The chain holds, but leads elsewhere than the checkpoint saw."""
    FOREIGN = "foreign"
    """Not an item of a stream at all."""
    CHECKPOINT = "checkpoint"
    """The checkpoints themselves were tampered with; `seq` is the checkpoint's number."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where history is not what was written. `stream` is hexadecimal; `seq` the first number concerned."""

    damage: Damage
    kind: str
    stream: str
    seq: int
    detail: str

    def __str__(self) -> str:
        return f"{self.kind} {self.stream} {self.seq}: {self.damage.value}: {self.detail}"


@dataclass(slots=True)
class Report:
    """What was looked at, and what is wrong with it. `uncovered`: items behind the last checkpoint of their stream.
    `unheld`: the last checkpoints of the database, as far as no file that was looked at goes; `held` the number up to which one
    does."""

    streams: int = 0
    items: int = 0
    uncovered: int = 0
    checkpoints: int = 0
    held: int = 0
    unheld: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.findings

    @property
    def notes(self) -> list[str]:
        """What could not be shown here, and how to show it. A database that was cut together with its checkpoints is whole in
        itself: only files outside it tell."""
        if not self.unheld:
            return []
        last = self.held + self.unheld
        files = f"end at checkpoint {self.held}" if self.held else "are not there"
        return [
            f"not shown: the files of this host {files}, the database has {last}. Whether the end of history was cut is shown "
            "by files only: run this on a host whose keeper runs, or name a copy of its files (--checkpoints FOLDER)"
        ]

    def lines(self) -> list[str]:
        """For an operator: the findings, what could not be shown, then one line of sums."""
        sums = (
            f"{self.items} items in {self.streams} streams, {self.checkpoints} checkpoints, "
            f"{self.uncovered} items not yet under a checkpoint"
        )
        verdict = "unbroken" if self.holds else f"BROKEN in {len(self.findings)} places"
        return [*map(str, self.findings), *self.notes, f"{verdict}: {sums}"]


Link = Callable[[bytes, bytes, int, Mapping[str, Any]], bytes]
"""The hash that an item should have, by the hash before it, its stream, number and document."""


def _log_link(previous: bytes, stream: bytes, seq: int, document: Mapping[str, Any]) -> bytes:
    """The link of a conversation's entry, over the ciphertext: no key is needed. The same atoms as in `im.codec`."""
    return link(
        previous,
        stream,
        seq,
        document["id"],
        document["v"],
        document["kind"],
        int(document["at"]),
        document["hospital_id"],
        document["body"],
    )


def _audit_link(previous: bytes, stream: bytes, seq: int, document: Mapping[str, Any]) -> bytes:
    row = AuditRow(
        audit_id=document["audit_id"],
        at=from_ms(int(document["at"])),
        hospital_id=document["hospital_id"],
        account_id=document["account_id"],
        role=document["role"],
        action=document["action"],
        subject=document["subject"],
        order_id=document["order_id"],
        outcome=Outcome(document["outcome"]),
        request_id=document["request_id"],
        address=document["address"],
    )
    return row_hash(previous, stream, seq, row)


LINKS: Final[Mapping[str, Link]] = {LOG: _log_link, AUDIT: _audit_link}


def link_of(kind: str, previous: bytes, stream: bytes, seq: int, document: Mapping[str, Any]) -> bytes | None:
    """The hash that it should have; None for a document that has not the form of an item."""
    if document.keys() != _FIELDS[kind]:
        return None
    try:
        return LINKS[kind](previous, stream, seq, document)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, IndexError):
        return None


class Seen:
    """What signed checkpoints saw: for each stream its hash at some numbers."""

    def __init__(self) -> None:
        self._heads: defaultdict[tuple[str, bytes], dict[int, bytes]] = defaultdict(dict)

    def add(self, heads: Iterable[Head]) -> None:
        for head in heads:
            self._heads[head.kind, head.stream][head.seq] = head.hash

    def take(self, kind: str, stream: bytes) -> dict[int, bytes]:
        """The stream's, which are not needed again."""
        return self._heads.pop((kind, stream), {})

    def rest(self, kind: str) -> list[tuple[bytes, int]]:
        """Streams that were seen and never taken: stream and highest number."""
        return [(stream, max(heads)) for (k, stream), heads in self._heads.items() if k == kind]


@dataclass(slots=True)
class _Suspect:
    """An item whose link does not hold; `previous` is the hash that stands before it."""

    seq: int
    previous: bytes
    document: Mapping[str, Any]


class StreamWalk:
    """Walks one stream from its first item to its last."""

    def __init__(self, kind: str, stream: bytes, seen: Mapping[int, bytes], report: Report) -> None:
        self._kind = kind
        self._stream = stream
        self._seen = seen
        self._last_seen = max(seen, default=0)
        self._report = report
        self._next = 1
        self._previous: bytes | None = GENESIS
        self._suspects: list[_Suspect] = []
        self._agreed = 0
        report.streams += 1

    def step(self, seq: int, document: Mapping[str, Any]) -> None:
        self._report.items += 1
        self._report.uncovered += seq > self._last_seen
        if seq > self._next:
            missing = f"{self._next} to {seq - 1} are not there"
            self._find(Damage.DROPPED, self._next, missing)
            self._previous = None
        stored = document.get("hash")
        stored_hash = stored if isinstance(stored, bytes) else b""
        if self._previous is not None and link_of(self._kind, self._previous, self._stream, seq, document) != stored_hash:
            self._suspects.append(_Suspect(seq, self._previous, document))
        self._compare(seq, stored_hash)
        self._previous, self._next = stored_hash, seq + 1

    def end(self) -> None:
        if self._next <= self._last_seen:
            self._find(
                Damage.TRUNCATED,
                self._next,
                f"a checkpoint saw number {self._last_seen}; {self._next} is the first that is gone",
            )
        for suspect in self._suspects:
            self._explain(suspect)

    def _compare(self, seq: int, stored_hash: bytes) -> None:
        if seq not in self._seen:
            return
        if self._seen[seq] == stored_hash:
            self._agreed = seq
        else:
            detail = f"a checkpoint saw another hash here; the change is at {self._agreed + 1} to {seq}"
            self._find(Damage.REWRITTEN, seq, detail)

    def _explain(self, suspect: _Suspect) -> None:
        """Say why a link does not hold: the item stands where another belongs, its predecessor changed places, or it was
        edited."""
        if len(self._suspects) <= _MOST_EXPLAINED:
            links = [s.document["hash"] for s in self._suspects if isinstance(s.document.get("hash"), bytes)]
            if any(self._fits(suspect, suspect.seq, previous) for previous in links):
                return
            for other in self._suspects:
                if other is not suspect and any(self._fits(suspect, other.seq, p) for p in (other.previous, *links)):
                    detail = f"what stands here was written as number {other.seq}"
                    self._find(Damage.REORDERED, suspect.seq, detail)
                    return
        before = "nothing" if suspect.seq == 1 else str(suspect.seq - 1)
        self._find(Damage.EDITED, suspect.seq, f"it does not follow from {before}")

    def _fits(self, suspect: _Suspect, seq: int, previous: bytes) -> bool:
        return link_of(self._kind, previous, self._stream, seq, suspect.document) == suspect.document.get("hash")

    def _find(self, damage: Damage, seq: int, detail: str) -> None:
        self._report.findings.append(Finding(damage, self._kind, self._stream.hex(), seq, detail))


class CollectionWalk:
    """Walks all streams of a collection whose documents come in order of their `_id`."""

    def __init__(self, kind: str, seen: Seen, report: Report) -> None:
        self._kind = kind
        self._seen = seen
        self._report = report
        self._stream: bytes | None = None
        self._walk: StreamWalk | None = None

    def step(self, document: Mapping[str, Any]) -> None:
        place = document.get("_id")
        if not isinstance(place, bytes) or len(place) != _POSITION_BYTES or parse_position(place)[1] == 0:
            self._report.findings.append(Finding(Damage.FOREIGN, self._kind, "-", 0, "its _id is no position in a stream"))
            return
        stream, seq = parse_position(place)
        if self._walk is None or stream != self._stream:
            self._finish_stream()
            self._stream = stream
            self._walk = StreamWalk(self._kind, stream, self._seen.take(self._kind, stream), self._report)
        self._walk.step(seq, document)

    def end(self) -> None:
        self._finish_stream()
        for stream, seq in self._seen.rest(self._kind):
            detail = f"a checkpoint saw number {seq}; the whole stream is gone"
            self._report.findings.append(Finding(Damage.TRUNCATED, self._kind, stream.hex(), 1, detail))

    def _finish_stream(self) -> None:
        if self._walk is not None:
            self._walk.end()


class CheckpointWalk:
    """Walks the checkpoints of one place (`file`, `database`) in the order in which they stand there."""

    def __init__(self, place: str, public_key: bytes, seen: Seen, report: Report) -> None:
        self._place = place
        self._public_key = public_key
        self._seen = seen
        self.report = report
        self._last: Checkpoint | None = None
        self.hashes: dict[int, bytes] = {}

    def step(self, checkpoint: Checkpoint) -> None:
        """Believe what is signed, wherever it stands; then say whether it stands where it belongs."""
        number = checkpoint.number
        if not is_signed(checkpoint, self._public_key):
            self.find(number, "its signature does not hold")
            return
        self._seen.add(checkpoint.heads)
        expected = 1 if self._last is None else self._last.number + 1
        previous = GENESIS if self._last is None else self._last.hash
        if number != expected:
            self.find(number, f"number {expected} belongs here")
        elif checkpoint.previous != previous:
            self.find(number, "it does not follow from the one before")
        self.hashes[number] = checkpoint.hash
        self._last = checkpoint

    def unreadable(self, line: int) -> None:
        self.find(line, "it cannot be read")

    def find(self, number: int, detail: str) -> None:
        self.report.findings.append(Finding(Damage.CHECKPOINT, self._place, "-", number, detail))


def compare_places(outside: CheckpointWalk, inside: CheckpointWalk, *, grace: frozenset[int]) -> None:
    """The file and the database hold the same checkpoints. Those of `grace` (just made) may not have left the database yet.
    Those behind the file's last are no sign that anybody changed anything: each host has files of its own, as far as its keeper
    got."""
    report = outside.report
    report.held = max(outside.hashes, default=0)
    report.unheld = sum(number > report.held and number not in grace for number in inside.hashes)
    for number in sorted(outside.hashes.keys() | inside.hashes.keys()):
        here, there = inside.hashes.get(number), outside.hashes.get(number)
        if here is None:
            inside.find(number, "the file has it, the database does not")
        elif there is None and number < report.held:
            outside.find(number, "the database has it, the file does not")
        elif there is not None and here != there:
            outside.find(number, "the file and the database have different ones")
