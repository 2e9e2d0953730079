"""Types the answers of a Dify app into DingTalk AI cards, as they are generated."""

__version__ = "0.1.0"

__all__ = ["__version__"]
