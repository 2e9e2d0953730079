"""The OpenAPI document of the front, made of the shapes that are really read and written. Pure."""

from typing import Any

from pydantic.json_schema import models_json_schema

from cardbot import __version__
from cardbot.web.order import USER_HEADER
from cardbot.web.replies import Chunk, Completion, ErrorReply, Forgotten, Health, ModelCard, ModelList
from cardbot.web.requests import NO_CONTROLS, USER_LIMIT, ChatRequest, Question
from cardbot.web.shapes import Shape

_SHAPES: tuple[type[Shape], ...] = (
    ChatRequest,
    Question,
    Completion,
    Chunk,
    ErrorReply,
    ModelCard,
    ModelList,
    Forgotten,
    Health,
)

_EVENT = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "data": {
            "type": "string",
            "anyOf": [
                {"const": "[DONE]"},
                {"contentMediaType": "application/json", "contentSchema": {"$ref": "#/components/schemas/Chunk"}},
                {"contentMediaType": "application/json", "contentSchema": {"$ref": "#/components/schemas/ErrorReply"}},
            ],
        }
    },
}
"""One event of a stream, which has but data."""

_STREAM = """With `stream`: server-sent events. The data of each is a `Chunk`, in JSON; after the last one comes
`data: [DONE]`. A stream that breaks off ends with an `ErrorReply` instead, and without `[DONE]`. Lines that begin with
a colon say only that the stream lives. What was told cannot be taken back: where Dify replaces the text, the new one
follows after a blank line, and `finish_reason` is `content_filter` if a moderation did so."""

_ERRORS = {
    400: "The request is wrong.",
    401: "The API key is missing or wrong.",
    403: "There are no API keys here, and the request is not from this machine.",
    404: "There is no such model.",
    413: "The body is too long.",
    415: "The body is not JSON.",
    429: "Dify has no room for another answer, or the user's line is full.",
    500: "Something went wrong inside.",
    501: "The app waits for a person's decision.",
    502: "Dify refused the question, or the answer failed.",
    503: "Dify cannot be reached, or this server is being stopped.",
    504: "Dify has been silent for too long.",
}


def document(*, wants_key: bool) -> dict[str, Any]:
    """The document. `wants_key`: whether callers need a key."""
    _, schemas = models_json_schema(
        [(shape, "validation") for shape in _SHAPES], ref_template="#/components/schemas/{model}"
    )
    completion = {"application/json": _schema("Completion"), "text/event-stream": _schema("Event")}
    user = {
        "name": USER_HEADER,
        "in": "header",
        "description": "Whose conversation it is; goes before `user` in the body.",
        "schema": {"type": "string", "maxLength": USER_LIMIT},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "cardbot", "version": __version__, "description": "Dify apps behind OpenAI's chat API."},
        "security": [{"key": []}] if wants_key else [],
        "paths": {
            "/v1/chat/completions": {
                "post": {
                    "operationId": "createChatCompletion",
                    "summary": "Ask a Dify app.",
                    "parameters": [user],
                    "requestBody": {"required": True, "content": {"application/json": _schema("ChatRequest")}},
                    "responses": {
                        "200": {"description": _STREAM, "content": completion},
                        **_errors(400, 401, 403, 404, 413, 415, 429, 500, 501, 502, 503, 504),
                    },
                }
            },
            "/v1/models": {
                "get": {
                    "operationId": "listModels",
                    "summary": "All Dify apps.",
                    "responses": {"200": _good("ModelList"), **_errors(401, 403)},
                }
            },
            "/v1/models/{model}": {
                "get": {
                    "operationId": "retrieveModel",
                    "summary": "One Dify app.",
                    "parameters": [_in_path("model")],
                    "responses": {"200": _good("ModelCard"), **_errors(401, 403, 404)},
                }
            },
            "/v1/conversations/{user}": {
                "delete": {
                    "operationId": "forgetConversations",
                    "summary": "Begin anew with this user, also one who is not known. Dify keeps what it has.",
                    "parameters": [
                        _in_path("user", maxLength=USER_LIMIT, pattern=NO_CONTROLS),
                        {
                            "name": "model",
                            "in": "query",
                            "description": "Only the conversation with this model.",
                            "schema": {"type": "string"},
                        },
                    ],
                    "responses": {"200": _good("Forgotten"), **_errors(400, 401, 403, 404, 503)},
                }
            },
            "/openapi.json": {
                "get": {
                    "operationId": "describe",
                    "summary": "This document.",
                    "security": [],
                    "responses": {
                        "200": {
                            "description": "OpenAPI 3.1",
                            "content": {"application/json": {"schema": {"type": "object"}}},
                        }
                    },
                }
            },
            "/health": {
                "get": {
                    "operationId": "health",
                    "summary": "Whether the server takes requests. Says nothing about Dify.",
                    "security": [],
                    "responses": {"200": _good("Health")},
                }
            },
        },
        "components": {
            "schemas": {**schemas["$defs"], "Event": _EVENT},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}} if wants_key else {},
        },
    }


def _schema(name: str) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{name}"}}


def _in_path(name: str, **more: object) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1, **more}}


def _good(name: str) -> dict[str, Any]:
    return {"description": "Done.", "content": {"application/json": _schema(name)}}


def _errors(*statuses: int) -> dict[str, Any]:
    return {
        str(status): {"description": _ERRORS[status], "content": {"application/json": _schema("ErrorReply")}}
        for status in statuses
    }
