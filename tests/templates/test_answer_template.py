"""The card template in `templates/answer.json` has the shape that the card platform exports.

Importing needs a person in DingTalk's console, so the file is held against facts instead. They were counted on
template files of public repositories, read 2026-11; none of them was tried on the platform by this project.

"34 files": 28 exports, of which 13 are AI cards, from open-dingtalk/dingtalk-card-examples (`examples/**`,
`app/card_templates`), soimy/openclaw-channel-dingtalk (`docs/assets`) and Serein-Lm/Sere1nFish
(`server/docs/dingtalk`), and 6 versions of a generated template of langbot-app/LangBot (`src/langbot/templates`).
"13 AI exports": the AI cards among them.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).parents[2] / "templates" / "answer.json"

PENDING, WRITING, DONE, DOING, FAILED = 1, 2, 3, 4, 5
"""Values of `flowStatus`. Seen: description of that variable in the exports of dingtalk-card-examples."""

Json = dict[str, Any]


def walk(value: Any) -> Iterator[Json]:
    """Every object in a JSON value, outermost first."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from walk(item)


def with_descendants(node: Json) -> Iterator[Json]:
    """A node of the component tree and all below it."""
    yield node
    for child in node.get("children", []):
        yield from with_descendants(child)


def kinds(nodes: list[Json]) -> list[str]:
    """The component types of some nodes, in their order."""
    return [node["componentName"] for node in nodes]


@pytest.fixture(scope="module")
def outer() -> Json:
    decoded: Json = json.loads(FILE.read_text(encoding="utf-8"))
    return decoded


@pytest.fixture(scope="module")
def editor(outer: Json) -> Json:
    decoded: Json = json.loads(outer["editorData"])
    return decoded


@pytest.fixture(scope="module")
def root(editor: Json) -> Json:
    (only,) = editor["schema"]["componentsTree"]
    tree: Json = only
    return tree


@pytest.fixture(scope="module")
def nodes(root: Json) -> list[Json]:
    return list(with_descendants(root))


@pytest.fixture(scope="module")
def states(root: Json) -> dict[int, Json]:
    return {state["props"]["status"]: state for state in root["children"]}


@pytest.fixture(scope="module")
def variables(editor: Json) -> dict[str, Json]:
    """Declared variables and their members, by id."""
    return {entry["id"]: entry for entry in walk(editor["variableList"])}


def markdown_blocks(node: Json) -> list[Json]:
    return [below for below in with_descendants(node) if below["componentName"] == "MarkdownBlock"]


class TestFile:
    def test_outer_object_has_exactly_the_four_exported_keys(self, outer: Json) -> None:
        """Seen: 34 of 34 files."""
        assert outer.keys() == {"editorData", "widgetInfo", "type", "mode"}

    def test_it_is_a_message_card(self, outer: Json) -> None:
        """Seen: 13 of 13 AI exports."""
        assert (outer["type"], outer["mode"]) == ("im", "card")

    def test_compiled_markup_is_left_to_the_platform(self, outer: Json) -> None:
        """Seen: LangBot ships an empty `widgetInfo`; so do the cards that mylxy/ai-alertops imported."""
        assert outer["widgetInfo"] == ""

    def test_editor_data_is_a_json_string_encoded_once(self, outer: Json) -> None:
        """Seen: 34 of 34 files."""
        assert isinstance(outer["editorData"], str)
        assert isinstance(json.loads(outer["editorData"]), dict)

    def test_file_is_written_in_one_way_only(self, outer: Json) -> None:
        """Our choice: a change shows up in a diff as what it is, not as another way to write JSON."""
        written = json.dumps(outer, ensure_ascii=False, indent=2) + "\n"
        assert FILE.read_text(encoding="utf-8") == written

    @pytest.mark.parametrize(
        "pattern",
        [
            pytest.param(r"[0-9a-f]{8}-[0-9a-f]{4}-", id="uuid"),
            pytest.param(r"\.schema\b", id="template id"),
            pytest.param(r"\w+://", id="address"),
            pytest.param(r"\bding[0-9a-z]{12,}", id="app or organisation id"),
            pytest.param(r"@l[0-9A-Z]", id="media id"),
            pytest.param(r"Page_InteractiveCard|logTrack|gmKey", id="usage statistics"),
            pytest.param(r"\bnode_oc[0-9a-z]+", id="node id of the console"),
        ],
    )
    def test_nothing_is_left_of_another_organisation(self, outer: Json, pattern: str) -> None:
        """Seen: exports carry such values, each of them its author's or the console's."""
        assert re.search(pattern, outer["editorData"]) is None


class TestEditorData:
    REQUIRED = frozenset(
        {
            "schemaVersion",
            "schema",
            "mockData",
            "editVersion",
            "customWidgetInfo",
            "useCustomWidgetInfo",
            "variableList",
            "formList",
            "expList",
            "localList",
            "hsfList",
            "lwpList",
            "extension",
        }
    )

    def test_keys_are_those_of_every_export(self, editor: Json) -> None:
        """Seen: 34 of 34 files; `renderContext`, `customContextList` and `pageData` are optional, unused here."""
        assert editor.keys() == self.REQUIRED

    def test_schema_version_is_the_newer_one(self, editor: Json) -> None:
        """Seen: "2.0.0" in exports of 2024, "3.0.0" since."""
        assert editor["schemaVersion"] == "3.0.0"

    def test_no_hand_written_markup_replaces_the_tree(self, editor: Json) -> None:
        """Seen: 34 of 34 files."""
        assert editor["editVersion"] == 0
        assert editor["customWidgetInfo"] == ""
        assert editor["useCustomWidgetInfo"] is False

    def test_schema_has_one_root(self, editor: Json) -> None:
        """Seen: 34 of 34 files."""
        assert editor["schema"].keys() == {"version", "componentsMap", "componentsTree", "i18n"}
        assert (editor["schema"]["version"], editor["schema"]["i18n"]) == ("1.0.0", {})
        assert len(editor["schema"]["componentsTree"]) == 1

    def test_components_map_lists_each_used_type_once(self, editor: Json, nodes: list[Json]) -> None:
        """Seen: 34 of 34 files list every type in use. None more: our choice."""
        listed = [entry["componentName"] for entry in editor["schema"]["componentsMap"]]
        assert sorted(listed) == sorted(set(kinds(nodes)))

    def test_components_map_entries_have_the_exported_form(self, editor: Json) -> None:
        """Seen: 34 of 34 files, `Form` excepted."""
        for entry in editor["schema"]["componentsMap"]:
            assert entry == {
                "package": "@ali/dxComponent",
                "version": "1.0.0",
                "exportName": entry["componentName"],
                "main": "./src/index.tsx",
                "destructuring": False,
                "subName": "",
                "componentName": entry["componentName"],
            }

    def test_mock_data_holds_four_objects(self, editor: Json) -> None:
        """Seen: 34 of 34 files."""
        assert editor["mockData"].keys() == {"cardData", "cardPrivateData", "localData", "richTextData"}
        assert all(isinstance(part, dict) for part in editor["mockData"].values())

    def test_lists_that_the_card_does_not_use_are_empty(self, editor: Json) -> None:
        """Seen: 34 of 34 files have these lists."""
        unused = ("formList", "expList", "localList", "hsfList", "lwpList")
        assert {name: editor[name] for name in unused} == {name: [] for name in unused}

    def test_extension_marks_an_ai_card_without_event_chains(self, editor: Json) -> None:
        """Seen: `extendType` in 13 of 13 AI exports; `fileTypeList` is empty or holds one event chain."""
        assert editor["extension"].keys() == {"extendType", "aiStatusList", "fileTypeList"}
        assert editor["extension"]["extendType"] == "AI"
        assert editor["extension"]["fileTypeList"] == []


class TestTree:
    def test_nodes_have_the_exported_keys_and_constants(self, nodes: list[Json]) -> None:
        """Seen: 928 of 928 nodes; `children` only where there are children."""
        constants = {"hidden": False, "isLocked": False, "condition": True, "conditionGroup": ""}
        for node in nodes:
            assert node.keys() - {"children"} == {"componentName", "id", "props", "title", *constants}
            assert {name: node[name] for name in constants} == constants
            assert isinstance(node["props"], dict)
            assert node.get("children") != []

    def test_node_ids_are_unique(self, nodes: list[Json]) -> None:
        """Seen: 34 of 34 files."""
        ids = [node["id"] for node in nodes]
        assert len(ids) == len(set(ids))

    def test_node_ids_have_the_exported_prefix(self, nodes: list[Json]) -> None:
        """Seen: `node_` in 28 of 28 exports; LangBot's readable suffixes are imported by its users."""
        assert [node["id"] for node in nodes if not re.fullmatch(r"node_[a-z0-9_]+", node["id"])] == []

    def test_root_holds_status_containers_and_nothing_else(self, root: Json) -> None:
        """Seen: 13 of 13 AI exports."""
        assert root["componentName"] == "AICardContainer"
        assert set(kinds(root["children"])) == {"AICardStatusContainer"}

    def test_status_is_an_integer_used_once(self, root: Json) -> None:
        """Seen: 13 of 13 AI exports."""
        numbers = [state["props"]["status"] for state in root["children"]]
        assert all(type(number) is int for number in numbers)
        assert len(numbers) == len(set(numbers))

    def test_flags_containers_and_status_list_agree(self, editor: Json, root: Json, states: dict[int, Json]) -> None:
        """Seen: 13 of 13 AI exports; done has no flag."""
        flags = {"enablePending": PENDING, "enableWriting": WRITING, "enableDoing": DOING, "enableFailed": FAILED}
        enabled = {status for flag, status in flags.items() if root["props"][flag] is True} | {DONE}
        assert states.keys() == enabled
        assert sorted(editor["extension"]["aiStatusList"]) == sorted(enabled)

    def test_card_can_wait_write_finish_and_fail(self, states: dict[int, Json]) -> None:
        """Seen: without a failed state `isError` is answered with HTTP 500 (zfanswer/dify-on-dingtalk, issue 2)."""
        assert states.keys() == {PENDING, WRITING, DONE, FAILED}

    def test_container_settings_are_those_of_every_export(self, root: Json) -> None:
        """Seen: 13 of 13 AI exports. `enableFlowAbort` is explained in `templates/README.md`."""
        assert root["props"]["enableFlowAbort"] is True
        assert root["props"]["operationPenalType"] == "prompt"
        assert root["props"]["summaryContent"]["type"] == "variableValue"

    def test_state_follows_the_flow_status_variable(self, root: Json) -> None:
        """Seen: "flowStatus" in 5 of 13 AI exports, empty with the same effect in 8."""
        expected = {"type": "variableValue", "variableType": "global", "variable": "flowStatus"}
        assert root["props"]["flowStatusVar"] == expected

    def test_pending_holds_one_tip(self, states: dict[int, Json]) -> None:
        """Seen: 13 of 13 AI exports."""
        assert kinds(states[PENDING]["children"]) == ["AIPending"]

    def test_writing_holds_one_content(self, states: dict[int, Json]) -> None:
        """Seen: 13 of 13 AI exports."""
        assert kinds(states[WRITING]["children"]) == ["AICardContent"]

    def test_done_holds_feedback_beside_the_content(self, states: dict[int, Json]) -> None:
        """Seen: 13 of 13 AI exports, with the mark "generated by AI" inside the feedback row."""
        content, feedback = states[DONE]["children"]
        assert kinds([content, feedback, *feedback["children"]]) == [
            "AICardContent",
            "Feedback",
            "AIGenerationProcessing",
        ]

    def test_failed_shows_the_answer_and_no_sentence_of_its_own(self, states: dict[int, Json]) -> None:
        """Our choice: text that arrived stays visible; the one exported failed state has a fixed sentence."""
        below = list(with_descendants(states[FAILED]))
        assert kinds(below) == ["AICardStatusContainer", "AICardContent", "MarkdownBlock"]

    @pytest.mark.parametrize("status", [PENDING, WRITING, DONE, FAILED])
    def test_no_state_folds_its_text(self, states: dict[int, Json], status: int) -> None:
        """Seen: off in states 2 and 3 of two AI exports, so that a growing answer is not cut at 480."""
        assert states[status]["props"]["autoFoldConfig"] == {
            "needFold": False,
            "heightLimit": 480,
            "foldStatusLocalDataKey": "_cardFoldStatusLocalDataKey",
        }


class TestText:
    @pytest.mark.parametrize("status", [WRITING, DONE, FAILED])
    def test_each_state_with_text_binds_the_same_markdown_variable(self, states: dict[int, Json], status: int) -> None:
        """Seen: 11 of 12 exports that stream a public variable; LangBot reports a blank body without `varType`."""
        (block,) = markdown_blocks(states[status])
        assert block["props"]["content"] == {
            "type": "variableValue",
            "variable": "content",
            "variableType": "global",
            "varType": "markdown",
        }

    @pytest.mark.parametrize(("status", "streams"), [(WRITING, True), (DONE, False), (FAILED, False)])
    def test_only_writing_streams(self, states: dict[int, Json], status: int, streams: bool) -> None:
        """Seen: true in state 2 and false in state 3 of the streaming exports, both as booleans."""
        (block,) = markdown_blocks(states[status])
        assert block["props"]["isStreaming"] is streams

    def test_markdown_version_is_the_integer_zero(self, root: Json) -> None:
        """Seen: 51 of 51 markdown components."""
        versions = [block["props"]["mdVer"] for block in markdown_blocks(root)]
        assert [(type(version), version) for version in versions] == [(int, 0)] * 3

    def test_markdown_is_always_visible_and_has_no_icon(self, root: Json) -> None:
        """Seen: streaming blocks of the AI exports."""
        for block in markdown_blocks(root):
            assert block["props"]["visible"] == {
                "type": "dynamicVisible",
                "value": True,
                "valueType": "fixed",
                "condition": {"op": "and", "conditions": []},
            }
            assert block["props"]["icon"] == {"type": "icon", "icon": "", "iconType": "emoji"}

    def test_pending_tip_is_translated_into_every_language_of_the_console(self, states: dict[int, Json]) -> None:
        """Seen: `智能回复.json` of dingtalk-card-examples."""
        (tip,) = states[PENDING]["children"]
        text = tip["props"]["pendingTip"]
        assert (text["type"], text["i18n"]) == ("dynamicString", True)
        assert text["content"].keys() == {"zh_Hans", "zh_Hant", "en_US", "ja_JP", "vi_VN", "th_TH", "id_ID"}
        assert all(sentence.strip() for sentence in text["content"].values())

    def test_pending_tip_is_the_only_fixed_text(self, nodes: list[Json]) -> None:
        """Our choice: everything else that a person reads comes from the bot, in the person's language."""
        fixed = [node["id"] for node in nodes for value in walk(node["props"]) if value.get("type") == "dynamicString"]
        assert fixed == ["node_pending_tip"]

    def test_done_offers_to_copy_the_answer(self, states: dict[int, Json]) -> None:
        """Seen: dingtalk-card-examples, the typewriter card."""
        _, feedback = states[DONE]["children"]
        assert feedback["props"]["enableCopy"] is True
        assert feedback["props"]["copyVariable"] == markdown_blocks(states[DONE])[0]["props"]["content"]

    def test_nothing_but_the_buttons_needs_a_callback(self, states: dict[int, Json], nodes: list[Json]) -> None:
        """Our choice: what is pressed is what the bot itself has put there, so nothing else may offer an action."""
        _, feedback = states[DONE]["children"]
        assert feedback["props"]["enableLikeDislike"] is False
        assert feedback["props"]["enableRefresh"] is False
        assert {"actionType", "actionId", "events"}.isdisjoint(key for node in nodes for key in node["props"])


class TestButtons:
    @pytest.fixture
    def group(self, nodes: list[Json]) -> Json:
        (only,) = (node for node in nodes if node["componentName"] == "ButtonGroup")
        return only

    def test_writing_shows_them_below_the_text(self, states: dict[int, Json]) -> None:
        """Seen: soimy/openclaw-channel-dingtalk, `card-template-v3.json`: groups in the content of state 2."""
        (content,) = states[WRITING]["children"]
        assert kinds(content["children"]) == ["MarkdownBlock", "ButtonGroup"]

    @pytest.mark.parametrize("status", [PENDING, DONE, FAILED])
    def test_no_other_state_has_any(self, states: dict[int, Json], status: int) -> None:
        """Our choice: there is nothing to stop before the text begins, and nobody listens after its end."""
        assert "ButtonGroup" not in kinds(list(with_descendants(states[status])))

    def test_they_come_from_a_variable(self, group: Json) -> None:
        """Seen: LangBot binds its group to a variable of the card; `card-template-v3.json` to that of a loop."""
        assert group["props"]["buttonsSource"] == "variable"
        assert (group["props"]["fixedButtonIds"], group["props"]["fixedButtons"]) == ([], [])
        assert group["props"]["dynamicButtons"] == {
            "type": "variableValue",
            "variableType": "global",
            "variable": "buttons",
        }

    def test_they_take_no_room_while_there_are_none(self, group: Json) -> None:
        """Seen: `card-template-v3.json`, on the variable of the group itself, in state 2."""
        assert group["props"]["visible"] == {
            "type": "dynamicVisible",
            "value": True,
            "valueType": "condition",
            "condition": {
                "op": "or",
                "conditions": [
                    {
                        "type": "variable",
                        "variable": "buttons",
                        "variableType": "global",
                        "op": "isNotEmpty",
                        "value": "",
                        "valueType": "fixed",
                        "valueVariableType": "global",
                    }
                ],
            },
        }

    def test_their_layout_is_that_of_every_group(self, group: Json) -> None:
        """Seen: the groups of `card-template-v3.json`, and LangBot's."""
        layout = {
            "responsiveLayoutWidth": 350,
            "enableResponsiveLayout": False,
            "matchContent": False,
            "buttonSpacing": 8,
            "margin": -2,
            "marginLeft": 12,
            "marginRight": 12,
            "innerOffset": 0,
        }
        assert {name: group["props"][name] for name in layout} == layout

    def test_the_variable_declares_what_a_button_is(self, variables: dict[str, Json]) -> None:
        """Seen: `approve_btns` of `card-template-v3.json`, written by the console. LangBot's paths lack the `[0]`."""
        declared = {path: variable["type"] for path, variable in variables.items() if path.startswith("buttons")}
        assert declared == {
            "buttons": "buttonGroup",
            "buttons[0].text": "string",
            "buttons[0].color": "string",
            "buttons[0].status": "string",
            "buttons[0].event": "dynamicEvent",
            "buttons[0].event.type": "string",
            "buttons[0].event.params": "object",
            "buttons[0].event.params.url": "string",
            "buttons[0].event.params.actionId": "string",
            "buttons[0].event.params.params": "object",
        }

    def test_only_the_variable_itself_can_be_edited(self, variables: dict[str, Json]) -> None:
        """Seen: `approve_btns`: its members are `disabled`, it is not."""
        disabled = {path: variable["disabled"] for path, variable in variables.items() if path.startswith("buttons")}
        assert disabled == {path: path != "buttons" for path in disabled}

    def test_the_sample_is_a_button_that_asks_the_bot(self, editor: Json) -> None:
        """Seen: `mockData` of `card-template-v3.json` and of LangBot: a list, and not a string as in API calls."""
        (button,) = editor["mockData"]["cardData"]["buttons"]
        assert button.keys() == {"text", "color", "status", "event"}
        assert button["event"] == {"type": "sendCardRequest", "params": {"actionId": "stop", "params": {}}}


class TestVariables:
    def test_declarations_have_the_exported_fields(self, variables: dict[str, Json]) -> None:
        """Seen: 34 of 34 files; a member's id is its path, its name the last part."""
        needed = {"id", "name", "type", "description", "private", "editorVarType"}
        for path, variable in variables.items():
            assert needed <= variable.keys() <= needed | {"disabled", "visible", "schema"}
            assert variable["name"] == path.rpartition(".")[2]
            assert variable["private"] is False
            assert variable["editorVarType"] == "variables"

    def test_members_carry_the_path_of_their_object(self, editor: Json) -> None:
        """Seen: Sere1nFish, `config.autoLayout` and `_IC_AIGC_DETAIL_URL.mob`; those of a list, that of its first."""
        for variable in walk(editor["variableList"]):
            path = f"{variable['id']}[0]" if variable["type"] == "buttonGroup" else variable["id"]
            for member in variable.get("schema", []):
                assert member["id"] == f"{path}.{member['name']}"

    def test_answer_is_public_markdown_with_a_sample(self, editor: Json, variables: dict[str, Json]) -> None:
        """Seen: 13 of 13 AI exports."""
        assert variables["content"]["type"] == "markdown"
        assert variables["content"]["private"] is False
        assert editor["mockData"]["cardData"]["content"].strip()

    def test_card_can_be_wide(self, editor: Json, variables: dict[str, Json]) -> None:
        """Seen: declared in 5 of 13 AI exports; undeclared, the card stays narrow."""
        assert variables["config"]["type"] == "object"
        assert variables["config.autoLayout"]["type"] == "boolean"
        assert editor["mockData"]["cardData"]["config"] == {"autoLayout": True}

    @pytest.mark.parametrize(("name", "kind"), [("flowStatus", "string"), ("_IC_AIGC_DETAIL_URL", "object")])
    def test_variables_of_the_platform_are_declared_and_hidden(
        self, variables: dict[str, Json], name: str, kind: str
    ) -> None:
        """Seen: AI exports of dingtalk-card-examples and Sere1nFish."""
        assert variables[name]["type"] == kind
        assert variables[name]["disabled"] is True
        assert variables[name]["visible"] is False

    def test_what_has_members_lists_them(self, variables: dict[str, Json]) -> None:
        """Seen: `object`, `buttonGroup` and its `dynamicEvent`; the parameters that go along with a press are free."""
        assert {path for path, variable in variables.items() if "schema" in variable} == {
            path
            for path, variable in variables.items()
            if variable["type"] in ("object", "buttonGroup", "dynamicEvent")
            and path != "buttons[0].event.params.params"
        }

    def test_every_bound_variable_is_declared(self, root: Json, variables: dict[str, Json]) -> None:
        """Seen: undeclared names import, and show nothing."""
        bound = {value["variable"] for value in walk(root) if value.get("variable")}
        inlined = set(re.findall(r"\$\{([^}]+)\}", json.dumps(root, ensure_ascii=False)))
        assert bound == {"content", "buttons", "flowStatus"}
        assert bound | inlined <= variables.keys()

    def test_sample_data_names_declared_variables_only(self, editor: Json, variables: dict[str, Json]) -> None:
        """Our choice: the preview in the console shows what the bot can fill, and nothing else."""
        assert editor["mockData"]["cardData"].keys() <= variables.keys()
