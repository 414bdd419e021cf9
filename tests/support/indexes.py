"""A package's collections and indexes, made once in a database: the tests of a file share theirs."""

from pymongo.errors import CollectionInvalid

from server.kernel.mongo import Database, Indexes

_MADE: set[tuple[str, str, str]] = set()


async def make_indexes(database: Database, *packages: Indexes) -> None:
    """The collections of these packages, with all their indexes. Again is nothing."""
    for indexes in packages:
        for collection, models in indexes.items():
            wanted = (database.name, collection, ",".join(str(model.document["name"]) for model in models))
            if wanted in _MADE:
                continue
            if models:
                await database[collection].create_indexes(list(models))
            else:
                await _make_collection(database, collection)
            _MADE.add(wanted)


async def _make_collection(database: Database, name: str) -> None:
    try:
        await database.create_collection(name)
    except CollectionInvalid:
        return  # it is there
