"""Staff's tasks over HTTP. Which staff, the service decides."""

from consult.errors import TaskNotFound, TaskTransitionRefused
from consult.service.tasks import TaskService
from consult.wire.tasks import TaskDoneIn, TaskOut, TaskPage, TasksQuery, task_out
from server.kernel.edge import STAFF, Call, Handler, Route
from server.kernel.errors import Forbidden
from server.kernel.wire import NoBody, WireModel

_TAG = "admin"


def task_routes(tasks: TaskService) -> list[Route]:
    async def list_tasks(call: Call) -> TaskPage:
        query: TasksQuery = call.query
        found, cursor = await tasks.list_tasks(
            call.actor, state=query.state, kind=query.kind, limit=query.limit, cursor=query.cursor
        )
        return TaskPage(items=[task_out(task) for task in found], next_cursor=cursor)

    async def claim(call: Call) -> TaskOut:
        return task_out(await tasks.claim(call.actor, call.path["task_id"]))

    async def release(call: Call) -> TaskOut:
        return task_out(await tasks.release(call.actor, call.path["task_id"]))

    async def finish(call: Call) -> TaskOut:
        body: TaskDoneIn = call.body
        return task_out(await tasks.finish(call.actor, call.path["task_id"], body.outcome, body.note))

    def command(what: str, name: str, summary: str, handler: Handler, body: type[WireModel] = NoBody) -> Route:
        return Route(
            "POST",
            f"/admin/tasks/{{task_id}}/{what}",
            name,
            summary,
            STAFF,
            handler,
            body=body,
            answer=TaskOut,
            errors=(TaskNotFound, TaskTransitionRefused),
            tag=_TAG,
        )

    return [
        Route(
            "GET",
            "/admin/tasks",
            "list_tasks",
            "What waits for a person of the staff, what is due first comes first.",
            STAFF,
            list_tasks,
            query=TasksQuery,
            answer=TaskPage,
            errors=(Forbidden,),
            tag=_TAG,
        ),
        command("claim", "claim_task", "Take a task, so that nobody else does it too.", claim),
        command("release", "release_task", "Give a task back.", release),
        command("done", "finish_task", "Say what came of a task.", finish, TaskDoneIn),
    ]
