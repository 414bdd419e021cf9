"""The consult's rules, in the form in which the conversation log takes them."""

from typing import Any

from consult.domain import decisions, log
from im.domain import Draft, Entry, RecallMessage, SendMessage, Summary


class ConsultRules:
    """Implements `im.ports.Rules`."""

    def fold(self, state: Any | None, entry: Entry) -> log.ConsultState:
        return log.fold(state, entry)

    def decide_message(self, state: log.ConsultState, command: SendMessage, now_ms: int) -> Draft:
        return decisions.decide_message(state, command, now_ms)

    def decide_recall(self, state: log.ConsultState, command: RecallMessage, now_ms: int) -> Draft:
        return decisions.decide_recall(state, command, now_ms)

    def summary(self, state: log.ConsultState) -> Summary:
        return log.summary_of(state)
