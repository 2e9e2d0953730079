"""DingTalk: the long connection messages come from, and the calls that put answers into chats."""
