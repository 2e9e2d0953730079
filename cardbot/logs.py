"""Where log lines go: to standard error, for people on a terminal and as JSON otherwise."""

import logging
import sys

import structlog

SPEAKING_LIBRARIES = ("httpx", "httpcore", "websockets", "dingtalk_stream", "asyncio")
"""Libraries that log addresses, headers or frames below WARNING: a session webhook's URL is as good as a password."""

_TRACEBACKS = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
"""Without the local variables, which both of structlog's usual renderers show: they hold secrets and answers."""


def set_up(level: str) -> None:
    """Configure logging for a program; a library's user does this in their own way."""
    pretty = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if pretty else "iso", utc=not pretty),
            *(
                [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
                if pretty
                else [
                    structlog.processors.ExceptionRenderer(_TRACEBACKS),
                    structlog.processors.JSONRenderer(ensure_ascii=False),
                ]
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    for name in SPEAKING_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
