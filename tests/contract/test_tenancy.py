"""The watch that fails every test whose product code asks a hospital's collection without naming the hospital."""

from typing import Any

import pytest
from pymongo import DeleteMany, InsertOne, UpdateOne

from server.app.migrations import is_current, migrate
from server.kernel.mongo import ALL_HOSPITALS, Database
from tests.support.tenancy import ROOT, WATCH


def _planted(expression: str, *, package: str = "consult") -> Any:
    """`async def ask(db)` as if it stood in the product."""
    source = f"async def ask(db):\n    return {expression}\n"
    names: dict[str, Any] = {"UpdateOne": UpdateOne, "DeleteMany": DeleteMany, "InsertOne": InsertOne, "ALL": ALL_HOSPITALS}
    exec(compile(source, str(ROOT / package / "planted.py"), "exec"), names)
    return names["ask"]


@pytest.mark.parametrize(
    ("expression", "command"),
    [
        ("await db.orders.find_one({'_id': 'x'})", "find"),
        ("await db.orders.find({}).to_list()", "find"),
        ("await db.orders.find_one({'$or': [{'hospital_id': 'a'}, {'x': 1}]})", "find"),
        ("await db.orders.find_one({}, comment='something else')", "find"),
        ("await db.orders.update_one({'_id': 'x'}, {'$set': {'hospital_id': 'a'}})", "update"),
        ("await db.orders.update_many({}, {'$set': {'a': 1}})", "update"),
        ("await db.orders.replace_one({'_id': 'x'}, {'hospital_id': 'a'})", "update"),
        ("await db.orders.delete_one({'_id': 'x'})", "delete"),
        ("await db.orders.find_one_and_update({'_id': 'x'}, {'$set': {'a': 1}})", "findAndModify"),
        ("await db.orders.count_documents({'status': 'x'})", "aggregate"),
        ("await db.orders.distinct('status')", "distinct"),
        ("await db.orders.estimated_document_count()", "count"),
        ("await (await db.orders.aggregate([{'$match': {'status': 'x'}}])).to_list()", "aggregate"),
        ("await (await db.orders.aggregate([{'$sort': {'a': 1}}, {'$match': {'hospital_id': 'x'}}])).to_list()", "aggregate"),
        ("await db.orders.insert_one({'_id': 'x'})", "insert"),
        ("await db.orders.insert_many([{'hospital_id': 'a'}, {'a': 1}])", "insert"),
        ("await db.orders.bulk_write([UpdateOne({'hospital_id': 'a'}, {'$set': {'a': 1}}), UpdateOne({}, {'$set': {'a': 1}})])",
         "update"),
        ("await db.orders.bulk_write([DeleteMany({'a': 1})])", "delete"),
    ],
)  # fmt: skip
async def test_product_code_that_names_no_hospital_is_caught_with_its_place(
    database: Database, expression: str, command: str
) -> None:
    await _planted(expression)(database)
    assert WATCH.take(database.name) == [f"{command} of orders at consult/planted.py:2 ask"]


@pytest.mark.parametrize(
    "expression",
    [
        "await db.orders.find_one({'_id': 'x', 'hospital_id': 'a'})",
        "await db.orders.find_one({'$and': [{'hospital_id': {'$in': ['a']}}, {'x': 1}]})",
        "await db.orders.find({}, comment=ALL).to_list()",
        "await db.orders.find({}).comment(ALL).to_list()",
        "await db.orders.delete_many({'a': 1}, comment=ALL)",
        "await db.orders.count_documents({'hospital_id': 'a'})",
        "await db.orders.insert_one({'hospital_id': 'a'})",
        "await db.orders.bulk_write([InsertOne({'hospital_id': 'a'}), DeleteMany({'hospital_id': 'a'})])",
        "await db.orders.create_index('a')",
        "await db.media_content.files.find_one({'_id': 'x'})",
        "await db.command('ping')",
    ],
)
async def test_product_code_that_names_it_or_says_that_it_crosses_hospitals_is_let_through(
    database: Database, expression: str
) -> None:
    await _planted(expression)(database)
    assert WATCH.take(database.name) == []


@pytest.mark.parametrize("package", ["server", "accounts", "im", "media", "billing", "consult", "admin_console", "to_come"])
async def test_every_package_of_the_product_is_watched(database: Database, package: str) -> None:
    await _planted("await db.orders.find_one({})", package=package)(database)
    assert len(WATCH.take(database.name)) == 1


async def test_the_migrations_keep_to_it(database: Database) -> None:
    await migrate(database)
    await migrate(database)
    assert await is_current(database)
    assert WATCH.take(database.name) == []


async def test_tests_may_look_at_everything(database: Database) -> None:
    await database["orders"].find_one({})
    assert WATCH.take(database.name) == []
