"""Tasks of staff in MongoDB. The words of whoever finished one are sealed."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from pymongo import ASCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from consult.domain.tasks import TASKS, StaffTask, TaskFilter, TaskKind, TaskState
from server.kernel.crypto import HospitalKeys, Keyring
from server.kernel.mongo import Collection, Database, Document
from server.kernel.outbox import OUTBOX_INDEX, Event, to_outbox

_DUE: Final = [("due_at", ASCENDING), ("_id", ASCENDING)]
_NOTE: Final = "staff_tasks.note"

TASK_INDEXES: Final = [
    OUTBOX_INDEX,
    IndexModel([("hospital_id", ASCENDING), ("state", ASCENDING), *_DUE]),
    IndexModel([("hospital_id", ASCENDING), *_DUE]),
]


class MongoTasks:
    """Implements `ports.TaskRepository`."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._tasks: Collection = database[TASKS]
        self._keyring = keyring

    async def insert(self, task: StaffTask, event: Event) -> bool:
        keys = await self._keyring.hospital(task.hospital_id)
        try:
            await self._tasks.insert_one(_document(task, keys) | {"outbox": [to_outbox(event)]})
        except DuplicateKeyError:
            return False
        return True

    async def find(self, hospital_id: str, task_id: str) -> StaffTask | None:
        found = await self._tasks.find_one({"_id": task_id, "hospital_id": hospital_id})
        return None if found is None else _task_from(found, await self._keyring.hospital(hospital_id))

    async def list_of(
        self, hospital_id: str, wanted: TaskFilter, *, limit: int, after: tuple[datetime, str] | None
    ) -> list[StaffTask]:
        query: Document = {"hospital_id": hospital_id, "kind": {"$in": sorted(wanted.kinds)}}
        if wanted.state is not None:
            query["state"] = wanted.state.value
        if after is not None:
            due_at, task_id = after
            query["$or"] = [{"due_at": {"$gt": due_at}}, {"due_at": due_at, "_id": {"$gt": task_id}}]
        keys = await self._keyring.hospital(hospital_id)
        return [_task_from(document, keys) async for document in self._tasks.find(query, sort=_DUE, limit=limit)]

    async def save(self, task: StaffTask, event: Event) -> bool:
        values = _document(task, await self._keyring.hospital(task.hospital_id))
        key = {"_id": values.pop("_id"), "hospital_id": task.hospital_id, "version": task.version - 1}
        done = await self._tasks.update_one(key, {"$set": values, "$push": {"outbox": to_outbox(event)}})
        return done.matched_count == 1


def _document(task: StaffTask, keys: HospitalKeys) -> Document:
    document: Document = asdict(task)
    document["_id"] = document.pop("id")
    document |= {"kind": task.kind.value, "state": task.state.value, "data": dict(task.data)}
    document["note"] = keys.seal_text(task.note, field=_NOTE, owner=task.id)
    return document


def _task_from(document: Mapping[str, Any], keys: HospitalKeys) -> StaffTask:
    values = {name: value for name, value in document.items() if name not in ("_id", "outbox")}
    values |= {"id": document["_id"], "kind": TaskKind(document["kind"]), "state": TaskState(document["state"])}
    values["note"] = keys.open_text(document["note"], field=_NOTE, owner=document["_id"])
    return StaffTask(**values)
