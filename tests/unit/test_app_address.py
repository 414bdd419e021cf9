import pytest
from aiohttp.test_utils import make_mocked_request

from server.app.address import address_of
from server.kernel.actor import network_of


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, ["203.0.113.9"], None),
        (1, [], None),
        (1, ["203.0.113.9"], "203.0.113.9"),
        (1, ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
        (1, ["1.1.1.1", "203.0.113.9"], "203.0.113.9"),
        (2, ["1.1.1.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        (2, ["203.0.113.9"], None),
        (1, ["<script>"], None),
        (1, ["2001:DB8::1"], "2001:db8::1"),
    ],
)
def test_only_what_our_own_proxies_wrote_is_believed(proxies: int, forwarded: list[str], address: str | None) -> None:
    request = make_mocked_request("GET", "/", headers=[("X-Forwarded-For", each) for each in forwarded])
    assert address_of(proxies)(request) == (address or request.remote)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, "unknown"),
        ("nonsense", "unknown"),
    ],
)
def test_limits_count_lines_and_not_the_addresses_that_each_has_by_the_billion(address: str | None, network: str) -> None:
    assert network_of(address) == network
