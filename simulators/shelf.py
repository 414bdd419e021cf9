"""Where a stand-in keeps what it knows: records by key in memory, each written through to one SQLite file.

A stand-in that is started again must know the payments and refunds of before, as the real provider would. Each shelf is
bounded: the oldest records go first.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

R = TypeVar("R", bound=msgspec.Struct)

_SCHEMA = "CREATE TABLE IF NOT EXISTS records (shelf TEXT, key TEXT, value BLOB, PRIMARY KEY (shelf, key))"


class Store:
    """One file. Not for several processes at once: the stand-ins are one process."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.connection = sqlite3.connect(path, isolation_level=None)
        path.chmod(0o600)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=NORMAL")
        self.connection.execute(_SCHEMA)

    def close(self) -> None:
        self.connection.close()


class Shelf(Generic[R]):
    """Records of one type, in the order in which their keys first came."""

    def __init__(self, store: Store, name: str, kind: type[R], *, limit: int) -> None:
        self._connection = store.connection
        self._name = name
        self._limit = limit
        rows = self._connection.execute("SELECT key, value FROM records WHERE shelf = ? ORDER BY rowid", (name,))
        self._records: dict[str, R] = {key: msgspec.json.decode(value, type=kind) for key, value in rows}

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[R]:
        return iter(list(self._records.values()))

    def newest(self) -> Iterator[R]:
        return reversed(self._records.values())

    def find(self, key: str) -> R | None:
        return self._records.get(key)

    def put(self, key: str, record: R) -> R:
        self._records[key] = record
        self._connection.execute(
            "INSERT INTO records (shelf, key, value) VALUES (?, ?, ?) "
            "ON CONFLICT (shelf, key) DO UPDATE SET value = excluded.value",
            (self._name, key, msgspec.json.encode(record)),
        )
        while len(self._records) > self._limit:
            self.remove(next(iter(self._records)))
        return record

    def remove(self, key: str) -> None:
        self._records.pop(key, None)
        self._connection.execute("DELETE FROM records WHERE shelf = ? AND key = ?", (self._name, key))
