"""What a conversation refuses, by code. The rules raise some of these; the log raises the others."""

from server.kernel.errors import DomainError, ErrorKind


class ConversationNotFound(DomainError):
    """Missing, not the actor's, or erased: the three look alike, so that ids cannot be probed."""

    code = "conversation.not_found"
    kind = ErrorKind.NOT_FOUND
    title = "There is no such conversation."


class ConversationClosed(DomainError):
    code = "conversation.closed"
    kind = ErrorKind.CONFLICT
    title = "This consult has ended; nothing more can be sent."


class ConversationQuotaExhausted(DomainError):
    code = "conversation.quota_exhausted"
    kind = ErrorKind.CONFLICT
    title = "All replies of this consult are used."


class ConversationFlooded(DomainError):
    code = "conversation.flooded"
    kind = ErrorKind.RATE_LIMITED
    title = "Too many messages without an answer; wait for the doctor's reply."


class ConversationFull(DomainError):
    code = "conversation.full"
    kind = ErrorKind.CONFLICT
    title = "This conversation holds as many entries as it may."


class MessageNotSender(DomainError):
    code = "message.not_sender"
    kind = ErrorKind.FORBIDDEN
    title = "Only its sender can take a message back."


class MessageRecallExpired(DomainError):
    code = "message.recall_expired"
    kind = ErrorKind.CONFLICT
    title = "The time in which this message could be taken back is over."


class MessageRecallRefused(DomainError):
    code = "message.recall_refused"
    kind = ErrorKind.CONFLICT
    title = "This is not a message that can be taken back."


class MessageAlreadyRecalled(DomainError):
    code = "message.already_recalled"
    kind = ErrorKind.CONFLICT
    title = "This message was taken back before."


class MessageCardRefused(DomainError):
    code = "message.card_refused"
    kind = ErrorKind.FORBIDDEN
    title = "This card is not the sender's to send."


class MessageNotFound(DomainError):
    code = "message.not_found"
    kind = ErrorKind.NOT_FOUND
    title = "There is no such message."


class FavouriteNotFound(DomainError):
    code = "favourite.not_found"
    kind = ErrorKind.NOT_FOUND
    title = "There is no such favourite."


class FavouritesFull(DomainError):
    code = "favourite.full"
    kind = ErrorKind.CONFLICT
    title = "There is no room for another favourite; remove one first."
