"""What of the reminders' policy crosses the network."""

from typing import Annotated

from pydantic import StringConstraints, field_validator

from consult.domain.reminders import parse_ladder
from server.kernel.wire import WireModel


class ReminderPolicyModel(WireModel):
    """`12h:notice,4h:sms,1h:notice+task`: what is done when so much time is left and no reply counts; `none` for nothing."""

    ladder: Annotated[str, StringConstraints(max_length=200)]

    @field_validator("ladder")
    @classmethod
    def _reads(cls, text: str) -> str:
        parse_ladder(text)
        return text
