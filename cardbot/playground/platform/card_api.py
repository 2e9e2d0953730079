"""The card endpoints: create, deliver, update, stream."""

from collections.abc import Mapping

from cardbot.playground.http import Response
from cardbot.playground.platform import cards
from cardbot.playground.platform.cards import Card, Rules, TemplateSpec
from cardbot.playground.platform.endpoint import Endpoint, Incoming, Json, Refused
from cardbot.playground.platform.spaces import Directory, Space, check_space_models, read_spaces


class CardApi:
    """Keeps the cards of one app."""

    def __init__(
        self, templates: Mapping[str, TemplateSpec], *, rules: Rules, directory: Directory, robot_code: str
    ) -> None:
        self.cards: dict[str, Card] = {}
        self._templates = templates
        self._rules = rules
        self._directory = directory
        self._robot_code = robot_code

    def endpoints(self) -> dict[str, Endpoint]:
        """What is served here, by method and path."""
        return {
            "POST /v1.0/card/instances": Endpoint(self._create),
            "POST /v1.0/card/instances/deliver": Endpoint(self._deliver),
            "POST /v1.0/card/instances/createAndDeliver": Endpoint(self._create_and_deliver),
            "PUT /v1.0/card/instances": Endpoint(self._update),
            "PUT /v1.0/card/streaming": Endpoint(self._stream),
        }

    def _create(self, call: Incoming) -> Response:
        check_space_models(call.body)
        card = self._new_card(call.body)
        return Response.json({"success": True, "result": card.out_track_id})

    def _deliver(self, call: Incoming) -> Response:
        card = self._find(call.body, "param.outTrackIdEmpty", "param.cardNotExist")
        spaces = read_spaces(call.body, directory=self._directory, robot_code=self._robot_code)
        return Response.json({"success": True, "result": _deliver(card, spaces, call)})

    def _create_and_deliver(self, call: Incoming) -> Response:
        check_space_models(call.body)
        spaces = read_spaces(call.body, directory=self._directory, robot_code=self._robot_code)
        card = self._new_card(call.body)
        result = {"outTrackId": card.out_track_id, "deliverResults": _deliver(card, spaces, call)}
        return Response.json({"success": True, "result": result})

    def _update(self, call: Incoming) -> Response:
        cards.update(self._find(call.body, "param.outTrackIdEmpty", "param.cardNotExist"), call.body)
        return Response.json({"success": True, "result": True})

    def _stream(self, call: Incoming) -> Response:
        card = self._find(call.body, "param.stream.outTrackId", "param.stream.outTrackId")
        cards.stream(card, call.body, rules=self._rules, now=call.arrived)
        return Response.json({"success": True, "result": True})

    def _new_card(self, body: Json) -> Card:
        card = cards.create(body, self._templates)
        if card.out_track_id not in self.cards:
            self.cards[card.out_track_id] = card
        elif self._rules.duplicate_create == "reject":
            raise Refused(400, "param.cardAlreadyExist", f"card {card.out_track_id} exists")
        return self.cards[card.out_track_id]

    def _find(self, body: Json, empty: str, unknown: str) -> Card:
        out_track_id = body.get("outTrackId")
        if not isinstance(out_track_id, str) or not out_track_id:
            raise Refused(400, empty, "outTrackId is empty")
        card = self.cards.get(out_track_id)
        if card is None:
            raise Refused(400, unknown, "card is not exist")
        return card


def _deliver(card: Card, spaces: list[Space], call: Incoming) -> list[Json]:
    if not call.undeliverable and not card.delivered:
        cards.deliver(card, ";".join(map(str, spaces)), now=call.now)
    return [
        {
            "spaceType": space.kind,
            "spaceId": space.id,
            "success": card.delivered,
            "carrierId": card.carrier,
            "errorMsg": call.undeliverable,
        }
        for space in spaces
    ]
