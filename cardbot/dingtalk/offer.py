"""The buttons of a card: those it is to have, and those it has as far as anybody knows."""

from collections.abc import Sequence

from cardbot.ports import Button

OFFER_TRIES = 3
"""Calls whose outcome stayed unknown before a card is left without other buttons. Our choice: the text, which goes
first after one that failed, says what can be typed instead of them."""


class Offer:
    """The buttons of one card. They are worth a call of their own while it has others than it is to have."""

    def __init__(self, buttons: Sequence[Button]) -> None:
        self.buttons = tuple(buttons)
        """What the card is to have."""
        self._taken = self.buttons  # what it has, once it is created
        self._sent: tuple[Button, ...] = ()
        self._lost = 0

    @property
    def is_open(self) -> bool:
        """Whether a call is to be made for them."""
        return self.buttons != self._taken

    def change(self, buttons: Sequence[Button]) -> None:
        """The card is to have these from now on."""
        self.buttons, self._lost = tuple(buttons), 0

    def send(self) -> tuple[Button, ...]:
        """Those that the call to be made gives to the card."""
        self._sent = self.buttons
        return self._sent

    def taken(self) -> None:
        """The card has those that were sent; others may have been asked for meanwhile."""
        self._taken = self._sent

    def lost(self) -> None:
        """Nobody knows what the call came to. After some of these, no more is made."""
        self._lost += 1
        if self._lost >= OFFER_TRIES:
            self.close()

    def close(self) -> None:
        """No call is to be made for them: they come with another, or the card takes none."""
        self._taken = self.buttons
