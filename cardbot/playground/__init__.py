"""The other side, simulated: a DingTalk and a Dify on the loopback interface."""
