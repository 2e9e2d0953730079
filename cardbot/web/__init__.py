"""The OpenAI-compatible front: Dify apps as models that any OpenAI client can talk to."""

from cardbot.web.serving import serve

__all__ = ["serve"]
