"""Which reads of a running product go through a whole collection: MongoDB itself writes them down."""

from typing import Any, Final

from pymongo import MongoClient

from server.kernel.mongo import DATABASE

SMALL: Final = frozenset({"meta", "leases", "departments", "followers", "checkpoint_places"})
"""Collections that do not grow with use."""

_PROFILE: Final = "system.profile"
_BYTES: Final = 4 * 1024 * 1024


def watch_scans(mongo_url: str, name: str = DATABASE) -> None:
    """From now on keep every operation of this database that scans a collection."""
    with MongoClient[dict[str, Any]](mongo_url) as client:
        database = client[name]
        database.create_collection(_PROFILE, capped=True, size=_BYTES)
        database.command("profile", 1, filter={"planSummary": {"$regex": "COLLSCAN"}})


def list_scans(mongo_url: str, name: str = DATABASE) -> list[str]:
    """What scanned since then, each once, by its collection and the shape of its query. What reads all of a collection on
    purpose, as proofs do, has no filter; change streams read MongoDB's own log. Both are left out."""
    found = set()
    with MongoClient[dict[str, Any]](mongo_url) as client:
        for row in client[name][_PROFILE].find():
            collection = row["ns"].partition(".")[2]
            command = row.get("originatingCommand") or row.get("command") or {}
            query = command.get("filter", command.get("query", command.get("q", command.get("pipeline"))))
            if collection not in SMALL and query and "$changeStream" not in str(query):
                found.add(f"{collection} {row['op']} {_shape(query)}")
    return sorted(found)


def _shape(query: Any) -> Any:
    """A query without what it looked for."""
    if isinstance(query, dict):
        return {key: _shape(value) for key, value in query.items()}
    return [_shape(item) for item in query[:3]] if isinstance(query, list) else "?"
