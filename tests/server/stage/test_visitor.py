"""Visitors: which addresses count as one."""

import pytest

from clavilux.server.settings import Token
from clavilux.server.stage.visitor import Visitor


@pytest.mark.parametrize(
    ("address", "house"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "no address"),
        ("x" * 1000, "no address"),
    ],
)
def test_an_address_is_a_house_of_its_own_of_ipv6_its_64_and_what_is_none_is_one_together(
    address: str, house: str
) -> None:
    assert Visitor(address).house == house


def test_a_visitors_token_is_not_shown() -> None:
    assert "secret" not in repr(Visitor(token=Token("secret")))
