"""The reminders' policy over HTTP. Which staff, the service decides."""

from consult.domain.reminders import ladder_text, parse_ladder
from consult.service.reminders import ReminderService
from consult.wire.reminders import ReminderPolicyModel
from server.kernel.edge import STAFF, Call, Route
from server.kernel.errors import Forbidden

_PATH = "/admin/reminder-policy"
_TAG = "admin"


def reminder_routes(reminders: ReminderService) -> list[Route]:
    async def view(call: Call) -> ReminderPolicyModel:
        return ReminderPolicyModel(ladder=ladder_text(await reminders.view_policy(call.actor)))

    async def change(call: Call) -> ReminderPolicyModel:
        body: ReminderPolicyModel = call.body
        return ReminderPolicyModel(ladder=ladder_text(await reminders.change_policy(call.actor, parse_ladder(body.ladder))))

    return [
        Route(
            "GET",
            _PATH,
            "get_reminder_policy",
            "When the hospital reminds doctors of orders that wait, and how.",
            STAFF,
            view,
            answer=ReminderPolicyModel,
            errors=(Forbidden,),
            tag=_TAG,
        ),
        Route(
            "PUT",
            _PATH,
            "put_reminder_policy",
            "Decide it, for orders that are paid from now on.",
            STAFF,
            change,
            body=ReminderPolicyModel,
            answer=ReminderPolicyModel,
            errors=(Forbidden,),
            tag=_TAG,
        ),
    ]
