"""Every error that cardbot raises.

CardbotError
 ├─ SettingsError               the configuration is wrong or incomplete
 ├─ StoreError                  what was promised to be kept could not be kept or read
 │   └─ UnreadableReply         an open reply in the store is not in a form that we know
 ├─ FileRefused                 a file of a message cannot be taken along with its question
 ├─ NoRobotRuns                 all robots of one process have failed
 ├─ LineFull                    too many messages wait for their turn in one conversation
 ├─ ReplyAdopted                another process has taken over an open reply
 ├─ DifyError                   Dify refused the question, or could not be reached
 │   ├─ DifyUnreachable         no answer at the configured address, or not one of Dify
 │   ├─ AnswerFailed            an answer that was asked for in one piece failed, or needs a person
 │   ├─ FormWaits               a run still waits for its form
 │   └─ DifyRejected            an HTTP error in Dify's form
 │       ├─ DifyUnauthorized    the key is wrong, or the app's API is switched off
 │       ├─ DifyWrongApp        the key belongs to an app of another kind
 │       │   ├─ NoQuestionInput a workflow declares no input that takes the question
 │       │   └─ InputMissing    an input that the app requires has no value
 │       ├─ FileNeeded          the app requires a file, and the question has none
 │       ├─ QuestionTooLong     the question does not fit into the app's input
 │       ├─ FormRefused         a form was not filled in as its run wants it
 │       ├─ FormClosed          a form is not to be handed in any more
 │       │   ├─ FormTaken       it was handed in before
 │       │   └─ FormExpired     its time is over
 │       ├─ DifyBroken          Dify itself failed: nobody knows whether it was done
 │       ├─ DifyBusy            too many runs at once; nothing was started
 │       └─ ConversationGone    the conversation does not exist for this user and app
 └─ DingTalkError               DingTalk refused a call, or could not be reached
     ├─ UnreadableMessage       a pushed message lacks what is needed to answer it
     ├─ DingTalkUnreachable     no answer, or the connection broke: the outcome is unknown
     ├─ DingTalkRejected        an error in DingTalk's form
     │   ├─ InvalidCredentials  the app's client id or secret is wrong
     │   ├─ InvalidToken        the access token is not (or no longer) accepted
     │   ├─ PermissionDenied    the app lacks a permission point, or the address is not allowed
     │   ├─ ContentRefused      the content check does not let the text pass
     │   ├─ Throttled           too many calls at the moment; nothing was done
     │   │   └─ Busy            DingTalk itself has too much to do
     │   └─ QuotaExhausted      the organisation's calls of this month are used up
     ├─ NotDelivered            the card exists, but was not put into the chat
     ├─ WebhookExpired          the message's session webhook is no longer valid
     └─ CardLost                a card could not be brought to its final state
"""

from collections.abc import Mapping, Sequence
from typing import Literal


class CardbotError(Exception):
    """The root of the tree: `except CardbotError` catches what cardbot itself reports."""


class SettingsError(CardbotError):
    """Raised when the configuration is wrong; `problems` holds one sentence for each variable."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class StoreError(CardbotError):
    """Raised when the store cannot be opened, read or written."""


class UnreadableReply(StoreError):
    """Raised when an open reply in the store cannot be read, as one that another version has written."""


class FileRefused(CardbotError):
    """Raised when a file cannot be taken along with the question, which is answered without it.

    `why` chooses the sentence that the person sees; `limit` is in MB for `too_large`, a number for `too_many`.
    """

    def __init__(
        self,
        message: str,
        *,
        why: Literal["no_uploads", "wrong_type", "too_large", "too_many", "too_slow", "not_fetched", "not_heard"],
        limit: int = 0,
    ) -> None:
        self.why = why
        self.limit = limit
        super().__init__(message)


class NoRobotRuns(CardbotError):
    """Raised when of several robots none runs any more; `reasons` says why, by robot."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        self.reasons = dict(reasons)
        super().__init__("\n".join(f"robot {name}: {reason}" for name, reason in reasons.items()))


class LineFull(CardbotError):
    """Raised when `waiting` messages of a conversation wait for their turn, which is as many as may."""

    def __init__(self, *, waiting: int) -> None:
        self.waiting = waiting
        super().__init__(f"{waiting} messages of this conversation wait already: ask again when one is answered")


class ReplyAdopted(CardbotError):
    """Raised when another process took this one for dead and adopted an open reply, whose card is now its own.

    No `StoreError`: that one means to go on without a record, this one to leave the card alone from now on.
    """

    def __init__(self, reply_id: str) -> None:
        self.reply_id = reply_id
        super().__init__(f"reply {reply_id} was adopted by another process, which finishes its card")


class DifyError(CardbotError):
    """Raised when Dify does not answer a question. The message is a sentence for the log."""


class DifyUnreachable(DifyError):
    """Raised when nothing answers at Dify's address, or what answers is not Dify.

    `sent` tells whether the question may have arrived: if so, it must not be asked again.
    """

    def __init__(self, message: str, *, sent: bool = False) -> None:
        self.sent = sent
        super().__init__(message)


class AnswerFailed(DifyError):
    """Raised when an answer that was asked for in one piece failed; `detail` is Dify's own short sentence."""

    def __init__(self, message: str, *, detail: str = "") -> None:
        self.detail = detail
        super().__init__(message)


class FormWaits(DifyError):
    """Raised when a run still waits for its form, where it was looked for how it goes on."""


class DifyRejected(DifyError):
    """Raised when Dify answers with an HTTP error; `status`, `code` and `detail` (a sentence) are Dify's own."""

    def __init__(self, message: str, *, status: int, code: str, detail: str = "") -> None:
        self.status = status
        self.code = code
        self.detail = detail
        super().__init__(message)


class DifyUnauthorized(DifyRejected):
    """Raised when the API key is not accepted (401), or the app's API is switched off (403)."""


class DifyWrongApp(DifyRejected):
    """Raised when the key belongs to an app of another kind, or the app is not published."""


class NoQuestionInput(DifyWrongApp):
    """Raised when no input of a workflow takes the question; `declared` are its inputs for text, if there are any."""

    def __init__(self, wanted: str = "", *, declared: Sequence[str] = ()) -> None:
        self.declared = tuple(declared)
        if wanted:
            why = f"DIFY_QUERY_INPUT is {wanted}, an input that the app does not declare"
        elif declared:
            why = "It is not clear which input of the app takes the question"
        else:
            why = "The app declares no input that could take the question"
        remedy = f"set DIFY_QUERY_INPUT to one of {', '.join(declared)}" if declared else "give it one for text"
        sentence = f"{why}: {remedy}."
        super().__init__(sentence, status=400, code="no_question_input", detail=sentence)


class InputMissing(DifyWrongApp):
    """Raised when the app requires the inputs `names`, and nothing gives them a value. Nothing was asked."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        sentence = f"The app requires {', '.join(names)}, and nothing gives it a value: set DIFY_INPUTS."
        super().__init__(sentence, status=400, code="input_missing", detail=sentence)


class FileNeeded(DifyRejected):
    """Raised when the app requires a file in its input `name`, and the question has none. Nothing was asked."""

    def __init__(self, name: str) -> None:
        self.name = name
        sentence = f"The app requires a file in its input {name}."
        super().__init__(sentence, status=400, code="file_needed", detail=sentence)


class QuestionTooLong(DifyRejected):
    """Raised when a question has more than the `limit` of characters that the app's input takes. Nothing was asked."""

    def __init__(self, *, limit: int) -> None:
        self.limit = limit
        detail = f"The question is longer than the {limit} characters that this app takes."
        super().__init__(detail, status=400, code="question_too_long", detail=detail)


class FormRefused(DifyRejected):
    """Raised when Dify does not take what a form was filled in with. It may be handed in again."""


class FormClosed(DifyRejected):
    """Raised when a form cannot be handed in any more."""


class FormTaken(FormClosed):
    """Raised when a form was handed in before, by us or by somebody else: its run goes on."""


class FormExpired(FormClosed):
    """Raised when the time of a form is over: its run goes on by itself, or ends."""


class DifyBroken(DifyRejected):
    """Raised when Dify answers 5xx in its own form. What was asked for may have been done."""


class DifyBusy(DifyRejected):
    """Raised when Dify runs as many answers of this app as it may. Nothing was started."""


class ConversationGone(DifyRejected):
    """Raised when the conversation was deleted, or belongs to another user or app."""


class DingTalkError(CardbotError):
    """Raised when a call to DingTalk did not do what it should. The message is a sentence for the log."""


class UnreadableMessage(DingTalkError):
    """Raised when a pushed message lacks what is needed to answer it; says what the admin can do about it."""


class DingTalkUnreachable(DingTalkError):
    """Raised when no usable answer came: a timeout, a reset, a gateway's 5xx page. It may have been done."""


class DingTalkRejected(DingTalkError):
    """Raised when DingTalk answers with an error.

    `status` is the HTTP status, `code` DingTalk's code (for webhooks the `errcode`), `request_id` what DingTalk's
    support asks for.
    """

    def __init__(self, message: str, *, status: int, code: str, request_id: str = "") -> None:
        self.status = status
        self.code = code
        self.request_id = request_id
        super().__init__(message)


class InvalidCredentials(DingTalkRejected):
    """Raised when the client id or secret is wrong, or the app is not set to Stream mode or not published."""


class InvalidToken(DingTalkRejected):
    """Raised when the access token is not accepted. DingTalk says so with HTTP 400."""


class PermissionDenied(DingTalkRejected):
    """Raised when the app lacks the permission points in `scopes`, or may not call from this address."""

    def __init__(
        self, message: str, *, status: int, code: str, request_id: str = "", scopes: tuple[str, ...] = ()
    ) -> None:
        self.scopes = scopes
        super().__init__(message, status=status, code=code, request_id=request_id)


class ContentRefused(DingTalkRejected):
    """Raised when DingTalk's content check does not let a text pass: it may not be shown, one way or another."""


class Throttled(DingTalkRejected):
    """Raised when a rate limit was hit. Nothing was done; the call may be repeated after `retry_after` seconds."""

    def __init__(self, message: str, *, status: int, code: str, request_id: str = "", retry_after: float = 1.0) -> None:
        self.retry_after = retry_after
        super().__init__(message, status=status, code=code, request_id=request_id)


class Busy(Throttled):
    """Raised when DingTalk itself is too busy, whoever calls. Nothing was done; it says nothing about our calls."""


class QuotaExhausted(DingTalkRejected):
    """Raised when the organisation's monthly calls are used up. Repeating is useless until the next month."""


class NotDelivered(DingTalkError):
    """Raised when DingTalk accepted a card but did not put it into the chat: nobody sees it."""


class WebhookExpired(DingTalkError):
    """Raised when a session webhook is past its time, or DingTalk no longer knows its session."""


class CardLost(DingTalkError):
    """Raised when a card could not be brought to its final state.

    `unseen` is the part of the final text that no finished card shows; it has to reach the person another way.
    """

    def __init__(self, message: str, *, unseen: str) -> None:
        self.unseen = unseen
        super().__init__(message)
