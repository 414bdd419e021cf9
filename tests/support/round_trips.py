"""Counts what a client asks of MongoDB."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from pymongo import AsyncMongoClient, monitoring

from server.kernel.mongo import Database, Document
from server.kernel.mongo import database as open_database


class RoundTrips(monitoring.CommandListener):
    """Commands by name and collection."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        collection = event.command.get(event.command_name)
        name = event.command.get("collection") if event.command_name == "getMore" else collection
        self.counted[f"{event.command_name} {name}"] += 1

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Nothing."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Nothing."""

    @contextmanager
    def counting(self) -> Iterator[Counter[str]]:
        """What is asked in this block; the audit's own writes aside, which wait together."""
        self.counted.clear()
        counted: Counter[str] = Counter()
        yield counted
        counted.update({name: times for name, times in self.counted.items() if name != "insert audit"})


def counted_database(url: str, name: str, trips: RoundTrips) -> tuple[AsyncMongoClient[Document], Database]:
    """The same database through a client that is counted; who asks closes it."""
    client: AsyncMongoClient[Document] = AsyncMongoClient(url, tz_aware=True, event_listeners=[trips])
    return client, open_database(client, name)
