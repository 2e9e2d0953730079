"""How outcomes look in a terminal."""

from cardbot.dingtalk.deliveries import Delivery, Outcome, table


def test_each_recipient_has_a_line_and_no_id_is_cut() -> None:
    long = "cid" + "x" * 200 + "=="
    deliveries = [
        Delivery("user", "user0001", Outcome.DELIVERED, parts=3),
        Delivery("chat", long, Outcome.UNKNOWN, "No answer.", parts=1),
    ]
    first, second = table(deliveries)
    assert first.split() == ["user", "user0001", "delivered"]
    assert second == f"chat  {long}  unknown          Of its messages, 1 arrived. No answer."
    assert first.index("delivered") == second.index("unknown")


def test_nobody_is_no_line() -> None:
    assert list(table([])) == []
