"""The calls to DingTalk's API, against a server on this machine."""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable

import anyio
import httpx
import pytest

from cardbot.dingtalk.openapi import DirectSpace, Frame, GroupSpace, NewCard, OpenApi
from cardbot.dingtalk.robot import SendReport
from cardbot.dingtalk.sdk import was_never_sent
from cardbot.errors import (
    DingTalkRejected,
    DingTalkUnreachable,
    InvalidCredentials,
    InvalidToken,
    NotDelivered,
    PermissionDenied,
    QuotaExhausted,
    SettingsError,
    Throttled,
)
from tests.dingtalk.server import Answer, Fault, Server, answer, refusal

pytestmark = pytest.mark.anyio

TOKEN = "/v1.0/oauth2/accessToken"
STREAM = "/v1.0/card/streaming"
UPDATE = "/v1.0/card/instances"
CREATE = "/v1.0/card/instances/createAndDeliver"
TO_PEOPLE = "/v1.0/robot/oToMessages/batchSend"
TO_GROUP = "/v1.0/robot/groupMessages/send"
DOWNLOAD = "/v1.0/robot/messageFiles/download"

FRAME = Frame(out_track_id="ans-1", guid="guid-1", key="content", content="# Title\n\nfirst part")
DIRECT_CARD = NewCard(
    template_id="11111111-2222-3333-4444-555555555555.schema",
    out_track_id="ans-1",
    space=DirectSpace("user0001"),
    params={"content": "思考中…", "config": '{"autoLayout":true}'},
    preview_zh="回答：你好",
    preview_en="Answer: hello",
)
GROUP_CARD = NewCard(
    template_id="11111111-2222-3333-4444-555555555555.schema",
    out_track_id="ans-2",
    space=GroupSpace("cidEXAMPLEgroup00=="),
    params={"content": "Thinking…"},
    preview_zh="回答",
    preview_en="Answer",
    at={"user0001": "Test User"},
)


@pytest.fixture
async def server() -> AsyncGenerator[Server]:
    async with Server().running() as server:
        yield server


def api_at(server: Server, *, timeout: float = 5.0) -> OpenApi:
    return OpenApi(
        endpoint=server.url,
        client_id="dingabc0000000000001",
        client_secret="s3cr3t-example",
        robot_code="dingrobot000000001",
        timeout=httpx.Timeout(timeout),
    )


@pytest.fixture
async def api(server: Server) -> AsyncGenerator[OpenApi]:
    async with api_at(server) as api:
        yield api


# What goes over the wire


async def test_card_for_a_direct_chat_on_the_wire(server: Server, api: OpenApi) -> None:
    await api.create_and_deliver(DIRECT_CARD)

    [request] = server.to(CREATE)
    assert request.method == "POST"
    assert request.headers["x-acs-dingtalk-access-token"] == "token-1"
    assert request.headers["content-type"] == "application/json; charset=utf-8"
    assert request.headers["accept"] == "application/json"
    assert request.json() == {
        "cardTemplateId": "11111111-2222-3333-4444-555555555555.schema",
        "outTrackId": "ans-1",
        "callbackType": "STREAM",
        "userIdType": 1,
        "cardData": {"cardParamMap": {"content": "思考中…", "config": '{"autoLayout":true}'}},
        "openSpaceId": "dtv1.card//IM_ROBOT.user0001",
        "imRobotOpenSpaceModel": {
            "supportForward": True,
            "lastMessageI18n": {"ZH_CN": "回答：你好", "EN_US": "Answer: hello"},
        },
        "imRobotOpenDeliverModel": {
            "spaceType": "IM_ROBOT",
            "robotCode": "dingrobot000000001",
            "extension": {"dynamicSummary": "true"},
        },
    }


async def test_card_for_a_group_on_the_wire(server: Server, api: OpenApi) -> None:
    await api.create_and_deliver(GROUP_CARD)

    [request] = server.to(CREATE)
    assert request.json() == {
        "cardTemplateId": "11111111-2222-3333-4444-555555555555.schema",
        "outTrackId": "ans-2",
        "callbackType": "STREAM",
        "userIdType": 1,
        "cardData": {"cardParamMap": {"content": "Thinking…"}},
        "openSpaceId": "dtv1.card//IM_GROUP.cidEXAMPLEgroup00==",
        "imGroupOpenSpaceModel": {
            "supportForward": True,
            "lastMessageI18n": {"ZH_CN": "回答", "EN_US": "Answer"},
        },
        "imGroupOpenDeliverModel": {
            "robotCode": "dingrobot000000001",
            "atUserIds": {"user0001": "Test User"},
            "extension": {"dynamicSummary": "true"},
        },
    }


async def test_frame_on_the_wire(server: Server, api: OpenApi) -> None:
    await api.stream(Frame(out_track_id="ans-1", guid="guid-1", key="content", content="你好 **hi**", finalize=True))

    [request] = server.to(STREAM)
    assert request.method == "PUT"
    assert request.headers["x-acs-dingtalk-access-token"] == "token-1"
    assert request.json() == {
        "outTrackId": "ans-1",
        "guid": "guid-1",
        "key": "content",
        "content": "你好 **hi**",
        "isFull": True,
        "isFinalize": True,
        "isError": False,
    }


async def test_update_on_the_wire_keeps_the_other_variables(server: Server, api: OpenApi) -> None:
    await api.update("ans-1", {"flowStatus": "3"})

    [request] = server.to(UPDATE)
    assert request.method == "PUT"
    assert request.json() == {
        "outTrackId": "ans-1",
        "cardData": {"cardParamMap": {"flowStatus": "3"}},
        "cardUpdateOptions": {"updateCardDataByKey": True},
        "userIdType": 1,
    }


async def test_message_to_people_on_the_wire(server: Server, api: OpenApi) -> None:
    server.answers(TO_PEOPLE, answer({"processQueryKey": "pqk-1"}))

    await api.send_to_people(["user0001"], title="Answer", markdown="你好\n\nhi")

    [request] = server.to(TO_PEOPLE)
    assert request.method == "POST"
    assert request.json() == {
        "robotCode": "dingrobot000000001",
        "userIds": ["user0001"],
        "msgKey": "sampleMarkdown",
        "msgParam": '{"title":"Answer","text":"你好\\n\\nhi"}',
    }


async def test_message_to_a_group_on_the_wire(server: Server, api: OpenApi) -> None:
    server.answers(TO_GROUP, answer({"processQueryKey": "pqk-1"}))

    await api.send_to_group("cidEXAMPLEgroup00==", title="Answer", markdown="hi")

    [request] = server.to(TO_GROUP)
    assert request.method == "POST"
    assert request.json() == {
        "robotCode": "dingrobot000000001",
        "openConversationId": "cidEXAMPLEgroup00==",
        "msgKey": "sampleMarkdown",
        "msgParam": '{"title":"Answer","text":"hi"}',
    }


async def test_half_a_surrogate_pair_does_not_stop_a_frame(server: Server, api: OpenApi) -> None:
    await api.stream(Frame(out_track_id="ans-1", guid="guid-1", key="content", content="cut \ud83d here"))

    assert server.to(STREAM)[0].json()["content"] == "cut ? here"


async def test_all_calls_share_a_connection(server: Server, api: OpenApi) -> None:
    await api.create_and_deliver(DIRECT_CARD)
    await api.stream(FRAME)
    await api.update("ans-1", {"flowStatus": "3"})
    await api.send_to_group("cid==", title="Answer", markdown="hi")

    assert server.connections == 1


async def test_cookies_are_not_kept(server: Server, api: OpenApi) -> None:
    request = httpx.Request("GET", server.url)
    api.http.cookies.extract_cookies(httpx.Response(200, headers={"set-cookie": "session=1"}, request=request))

    await api.stream(FRAME)

    assert "cookie" not in server.to(STREAM)[0].headers


# The access token


async def test_token_request_on_the_wire(server: Server, api: OpenApi) -> None:
    assert await api.access_token() == "token-1"

    [request] = server.to(TOKEN)
    assert request.json() == {"appKey": "dingabc0000000000001", "appSecret": "s3cr3t-example"}
    assert "x-acs-dingtalk-access-token" not in request.headers


async def test_token_is_fetched_once_for_calls_at_the_same_time(server: Server, api: OpenApi) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(api.stream, FRAME)
        tasks.start_soon(api.stream, FRAME)

    assert len(server.to(STREAM)) == 2
    assert len(server.to(TOKEN)) == 1


async def test_token_is_renewed_five_minutes_before_its_end(
    server: Server, api: OpenApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("cardbot.dingtalk.access_token.anyio.current_time", lambda: now)
    server.answers(
        TOKEN, answer({"accessToken": "old", "expireIn": 7200}), answer({"accessToken": "new", "expireIn": 7200})
    )

    assert await api.access_token() == "old"
    now += 7200 - 301
    assert await api.access_token() == "old"
    now += 1
    assert await api.access_token() == "new"


async def test_token_with_little_time_left_is_still_used_more_than_once(server: Server, api: OpenApi) -> None:
    server.answers(TOKEN, answer({"accessToken": "short", "expireIn": 200}))

    await api.stream(FRAME)
    await api.stream(FRAME)

    assert len(server.to(TOKEN)) == 1


@pytest.mark.parametrize("refused", [refusal(400, "InvalidAuthentication"), Answer(401, b"")])
async def test_refused_token_is_replaced_once_and_the_call_repeated(
    server: Server, api: OpenApi, refused: Answer
) -> None:
    server.answers(STREAM, refused, Answer())

    await api.stream(FRAME)

    assert [request.headers["x-acs-dingtalk-access-token"] for request in server.to(STREAM)] == ["token-1", "token-2"]


async def test_token_refused_twice_is_an_error(server: Server, api: OpenApi) -> None:
    server.answers(STREAM, refusal(400, "InvalidAuthentication"))

    with pytest.raises(InvalidToken):
        await api.stream(FRAME)

    assert len(server.to(STREAM)) == 2
    assert len(server.to(TOKEN)) == 2


async def test_many_calls_with_a_dead_token_fetch_one_successor(server: Server, api: OpenApi) -> None:
    await api.access_token()
    server.answers(STREAM, refusal(400, "InvalidAuthentication"), refusal(400, "InvalidAuthentication"), Answer())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(api.stream, FRAME)
        tasks.start_soon(api.stream, FRAME)

    assert len(server.to(STREAM)) == 4
    assert server.tokens_given == 2


@pytest.mark.parametrize("refused", [refusal(400, "invalidClientIdOrSecret"), Answer(401, b"")])
async def test_wrong_credentials(server: Server, api: OpenApi, refused: Answer) -> None:
    server.answers(TOKEN, refused)

    with pytest.raises(InvalidCredentials):
        await api.stream(FRAME)

    assert server.to(STREAM) == []


async def test_answer_without_a_token_is_no_answer(server: Server, api: OpenApi) -> None:
    server.answers(TOKEN, answer({"success": True}))

    with pytest.raises(DingTalkUnreachable, match="no access token"):
        await api.access_token()


# What is returned


async def test_carrier_id_is_returned(server: Server, api: OpenApi) -> None:
    place = {
        "spaceType": "IM",
        "spaceId": "user0001",
        "success": True,
        "carrierId": "pqk==",
        "errorMsg": "SYSTEM_ERROR",
    }
    server.answers(CREATE, answer({"success": True, "result": {"outTrackId": "ans-1", "deliverResults": [place]}}))

    assert await api.create_and_deliver(DIRECT_CARD) == "pqk=="


@pytest.mark.parametrize(
    "result",
    [None, {"outTrackId": "ans-1"}, {"deliverResults": None}, {"deliverResults": []}, {"deliverResults": "later"}],
)
async def test_without_delivery_results_a_card_counts_as_delivered(
    server: Server, api: OpenApi, result: object
) -> None:
    server.answers(CREATE, answer({"success": True, "result": result}))

    assert await api.create_and_deliver(DIRECT_CARD) == ""


async def test_card_that_was_not_delivered_is_an_error(server: Server, api: OpenApi) -> None:
    place = {"spaceType": "IM_GROUP", "success": False, "errorMsg": "spaceId is illegal"}
    server.answers(CREATE, answer({"success": True, "result": {"deliverResults": [place]}}))

    with pytest.raises(NotDelivered, match="spaceId is illegal"):
        await api.create_and_deliver(GROUP_CARD)


async def test_card_that_exists_already_is_told_by_its_code(server: Server, api: OpenApi) -> None:
    server.answers(CREATE, refusal(400, "param.cardAlreadyExist"))

    with pytest.raises(DingTalkRejected) as caught:
        await api.create_and_deliver(DIRECT_CARD)

    assert caught.value.code == "param.cardAlreadyExist"


async def test_report_names_whom_a_message_did_not_reach(server: Server, api: OpenApi) -> None:
    server.answers(
        TO_PEOPLE,
        answer({"processQueryKey": "pqk", "invalidStaffIdList": ["gone"], "flowControlledStaffIdList": ["busy"]}),
    )

    report = await api.send_to_people(["gone", "busy"], title="Answer", markdown="hi")

    assert report == SendReport(invalid=("gone",), flow_controlled=("busy",), filtered=())


# What refusals become


@pytest.mark.parametrize(
    ("refused", "retry_after"),
    [
        (refusal(403, "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi"), 1.0),
        (refusal(403, "Forbidden.AccessDenied.QpsLimitForApi"), 1.0),
        (refusal(403, "Forbidden.AccessDenied.QpsLimitForSuitekeyAndOrgAndApi"), 1.0),
        (refusal(403, "Forbidden.AccessDenied.QpmLimitForAppkeyAndApi"), 15.0),
        (refusal(429, "TooManyRequests"), 1.0),
        (Answer(429, b"<html>", "text/html"), 1.0),
        (refusal(400, "qps.exceed.limit"), 1.0),
        (refusal(400, "request.overlimit"), 1.0),
        (refusal(500, "system.busy"), 1.0),
        (answer({"status": 1111, "wait": 5, "source": "x5", "punish": "deny"}, status=403), 5.0),
        (answer({"status": 1111, "wait": 5, "source": "x5", "punish": "deny"}), 5.0),
    ],
)
async def test_rate_limits_are_told_by_code(server: Server, api: OpenApi, refused: Answer, retry_after: float) -> None:
    server.answers(STREAM, refused)

    with pytest.raises(Throttled) as caught:
        await api.stream(FRAME)

    assert caught.value.retry_after == retry_after
    assert len(server.to(STREAM)) == 1


async def test_monthly_quota(server: Server, api: OpenApi) -> None:
    server.answers(STREAM, refusal(403, "Forbidden.AccessDenied.ApiCountLimitForOrg"))

    with pytest.raises(QuotaExhausted):
        await api.stream(FRAME)


async def test_missing_permission_names_its_scopes(server: Server, api: OpenApi) -> None:
    server.answers(
        STREAM,
        refusal(
            403,
            "Forbidden.AccessDenied.AccessTokenPermissionDenied",
            accessdenieddetail={"requiredScopes": ["Card.Streaming.Write"]},
        ),
    )

    with pytest.raises(PermissionDenied, match=r"Card\.Streaming\.Write") as caught:
        await api.stream(FRAME)

    assert caught.value.scopes == ("Card.Streaming.Write",)


async def test_address_that_is_not_allowed(server: Server, api: OpenApi) -> None:
    server.answers(STREAM, refusal(403, "Forbidden.AccessDenied.IpNotInWhiteList"))

    with pytest.raises(PermissionDenied, match="allowed addresses"):
        await api.stream(FRAME)


@pytest.mark.parametrize(
    ("refused", "code"),
    [
        (refusal(400, "param.stream.content"), "param.stream.content"),
        (refusal(500, "unknownError"), "unknownError"),
        (refusal(403, "Forbidden.AccessDenied.SomethingNew"), "Forbidden.AccessDenied.SomethingNew"),
        (answer({"success": False}), ""),
        (answer({"success": False, "code": "param.invalid"}), "param.invalid"),
        (Answer(403, b"<html>blocked</html>", "text/html"), ""),
        (Answer(404, b""), ""),
    ],
)
async def test_other_refusals_keep_their_code(server: Server, api: OpenApi, refused: Answer, code: str) -> None:
    server.answers(STREAM, refused)

    with pytest.raises(DingTalkRejected) as caught:
        await api.stream(FRAME)

    assert type(caught.value) is DingTalkRejected
    assert (caught.value.status, caught.value.code) == (refused.status, code)


async def test_refusal_is_one_sentence_with_code_and_request_id(server: Server, api: OpenApi) -> None:
    server.answers(STREAM, refusal(400, "param.stream.content", message=f"bad content: {FRAME.content} token-1"))

    with pytest.raises(DingTalkRejected) as caught:
        await api.stream(FRAME)

    assert caught.value.request_id == "req-1"
    assert str(caught.value) == (
        "DingTalk answered PUT /v1.0/card/streaming with HTTP 400, code param.stream.content, request id req-1."
    )


@pytest.mark.parametrize(
    "broken",
    [
        Answer(200, b"<html>maintenance</html>", "text/html"),
        Answer(200, b""),
        Answer(200, b"[]"),
        Answer(200, b'"ok"'),
        Answer(200, b'{"success":tr'),
        Answer(200, b"\xff\xfe\x00"),
        Answer(302, b""),
        Answer(500, b""),
        Answer(502, b"<html>bad gateway</html>", "text/html"),
        Answer(503, b'{"message":"later"}'),
        Answer(504, b""),
        refusal(504, "ServiceTimeout"),
        Fault.RESET,
        Fault.CLOSE,
    ],
    ids=str,
)
async def test_without_a_usable_answer_the_outcome_is_unknown(
    server: Server, api: OpenApi, broken: Answer | Fault
) -> None:
    server.answers(STREAM, broken)

    with pytest.raises(DingTalkUnreachable) as caught:
        await api.stream(FRAME)

    assert not was_never_sent(caught.value)
    assert len(server.to(STREAM)) == 1


async def test_silence_ends_with_the_timeout(server: Server) -> None:
    server.answers(STREAM, Fault.SILENCE)

    async with api_at(server, timeout=0.2) as api:
        with pytest.raises(DingTalkUnreachable, match="ReadTimeout"):
            await api.stream(FRAME)


async def test_slow_drip_ends_with_the_deadline(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers(STREAM, Fault.SILENCE)

    async with api_at(server, timeout=30.0) as api:
        await api.access_token()
        monkeypatch.setattr("cardbot.dingtalk.sdk.DEADLINE", 0.2)
        with pytest.raises(DingTalkUnreachable, match="TimeoutError"):
            await api.stream(FRAME)


async def test_nobody_listening_means_never_sent(server: Server) -> None:
    server.answers(TOKEN, Fault.LAST_CALL)
    async with api_at(server) as api:
        with pytest.raises(DingTalkUnreachable):
            await api.access_token()
        with pytest.raises(DingTalkUnreachable) as caught:
            await api.access_token()

    assert was_never_sent(caught.value)


async def test_connection_is_usable_after_a_refusal(server: Server, api: OpenApi) -> None:
    server.answers(STREAM, refusal(400, "param.invalid"), Answer())
    with pytest.raises(DingTalkRejected):
        await api.stream(FRAME)

    await api.stream(FRAME)

    assert server.connections == 1


# Secrets and addresses


@pytest.mark.parametrize("broken", [Fault.RESET, refusal(400, "invalidClientIdOrSecret"), answer({"accessToken": 1})])
async def test_secret_is_in_no_message(server: Server, api: OpenApi, broken: Answer | Fault) -> None:
    server.answers(TOKEN, broken)

    with pytest.raises((DingTalkUnreachable, InvalidCredentials)) as caught:
        await api.access_token()

    assert "s3cr3t" not in str(caught.value)
    assert "s3cr3t" not in repr(api)


async def test_nothing_is_logged_on_the_way(
    server: Server, api: OpenApi, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)

    await api.stream(FRAME)

    assert caplog.records == []
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["darabonba-core", "alibabacloud-tea", "credentials"])
def test_sdk_does_not_write_past_the_programs_logging(name: str) -> None:
    assert logging.getLogger(name).handlers == []
    assert not logging.getLogger(name).isEnabledFor(logging.INFO)


@pytest.mark.parametrize(
    "endpoint",
    ["http://api.dingtalk.com", "api.dingtalk.com", "ftp://127.0.0.1", "https://", "", "http://127.0.0.1.example.com"],
)
def test_token_would_go_out_unencrypted_is_a_settings_error(endpoint: str) -> None:
    with pytest.raises(SettingsError, match="DINGTALK_OPENAPI_ENDPOINT"):
        OpenApi(endpoint=endpoint, client_id="id", client_secret="secret", robot_code="id")


async def test_calls_go_to_dingtalk_over_https_by_default() -> None:
    seen: list[str] = []

    async def record(request: httpx.Request) -> None:
        seen.append(str(request.url))
        raise httpx.ConnectError("enough seen")

    async with OpenApi(client_id="id", client_secret="secret", robot_code="id") as api:
        api.http.event_hooks = {"request": [record]}
        with pytest.raises(DingTalkUnreachable):
            await api.access_token()

    assert seen == ["https://api.dingtalk.com/v1.0/oauth2/accessToken"]


@pytest.mark.parametrize("path", [CREATE, STREAM, UPDATE, TO_PEOPLE, TO_GROUP])
async def test_every_call_reports_refusals_of_its_path(server: Server, api: OpenApi, path: str) -> None:
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        CREATE: lambda: api.create_and_deliver(DIRECT_CARD),
        STREAM: lambda: api.stream(FRAME),
        UPDATE: lambda: api.update("ans-1", {"flowStatus": "3"}),
        TO_PEOPLE: lambda: api.send_to_people(["user0001"], title="Answer", markdown="hi"),
        TO_GROUP: lambda: api.send_to_group("cid==", title="Answer", markdown="hi"),
    }
    server.answers(path, refusal(403, "Forbidden.AccessDenied.QpsLimitForApi"))

    with pytest.raises(Throttled, match=path):
        await calls[path]()


async def test_the_address_of_a_file_is_asked_for_by_code_and_robot(server: Server, api: OpenApi) -> None:
    server.answers(DOWNLOAD, answer({"downloadUrl": "https://down.dingtalk.com/a%2Fb?x=1"}))
    assert await api.download_url("code-1", robot_code="dingrobot2") == "https://down.dingtalk.com/a%2Fb?x=1"
    [request] = server.to(DOWNLOAD)
    assert request.headers["x-acs-dingtalk-access-token"] == "token-1"
    assert request.json() == {"downloadCode": "code-1", "robotCode": "dingrobot2"}


async def test_an_answer_without_an_address_is_none(server: Server, api: OpenApi) -> None:
    assert await api.download_url("code-1", robot_code="dingrobot2") == ""
