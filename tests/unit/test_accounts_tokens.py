from dataclasses import replace
from datetime import UTC, datetime, timedelta

import jwt
import pytest

from accounts.domain import Device, Holder, Session
from accounts.domain.sessions import AccessClaims, RefreshClaim
from accounts.tokens import SessionTokens
from server.kernel.actor import Role, StaffRole
from server.kernel.clock import to_ms
from server.kernel.errors import AuthRequired

NOW = datetime(2026, 1, 5, 2, 0, 0, 123000, tzinfo=UTC)
LIFE = timedelta(minutes=15)
SECRET = bytes(range(32))
HOLDER = Holder("a" * 32, Role.STAFF, "default", 3, frozenset({StaffRole.FINANCE, StaffRole.AUDITOR}))
SESSION = Session("5" * 32, HOLDER, Device("手机-1", "A phone"), NOW, NOW, NOW + timedelta(days=1), generation=7)


@pytest.fixture
def tokens() -> SessionTokens:
    return SessionTokens(SECRET, SECRET[::-1])


def test_an_access_token_says_whose_session_it_is_and_until_when(tokens: SessionTokens) -> None:
    claims = tokens.read_access(tokens.access(SESSION, now=NOW, life=LIFE))
    assert claims == AccessClaims(
        SESSION.id, HOLDER.account_id, Role.STAFF, "default", "手机-1", HOLDER.staff_roles, to_ms(NOW + LIFE)
    )


def test_any_jwt_library_reads_it(tokens: SessionTokens) -> None:
    payload = jwt.decode(
        tokens.access(SESSION, now=NOW, life=LIFE),
        SECRET,
        algorithms=["HS256"],
        audience="access",
        issuer="yunzhen",
        options={"verify_exp": False},
    )
    assert (payload["sub"], payload["sid"]) == (HOLDER.account_id, SESSION.id)


def test_other_signatures_algorithms_and_audiences_are_refused(tokens: SessionTokens) -> None:
    good = tokens.access(SESSION, now=NOW, life=LIFE)
    payload = jwt.decode(good, options={"verify_signature": False})
    head, body, signature = good.split(".")
    forged = [
        jwt.encode(payload, bytes(32), algorithm="HS256"),
        jwt.encode(payload, SECRET + SECRET, algorithm="HS512"),
        jwt.encode(payload, None, algorithm="none"),
        jwt.encode(payload | {"iss": "other"}, SECRET, algorithm="HS256"),
        tokens.media(SESSION, now=NOW),
        f"{head}.{body}.",
        f"{head}.{body}",
        f"{head}.{body[:-1]}.{signature}",
        f"{head}.{body}.{signature}=",
        f"{head}.{body}.{signature}.{signature}",
        f".{body}.{signature}",
        good + "é",
    ]
    for token in forged:
        with pytest.raises(AuthRequired):
            tokens.read_access(token)
    with pytest.raises(AuthRequired):
        tokens.read_media(good)


def test_a_refresh_token_is_one_generations_and_cannot_be_made_up(tokens: SessionTokens) -> None:
    token = tokens.refresh(SESSION)
    assert tokens.read_refresh(token) == RefreshClaim(SESSION.id, 7)
    assert tokens.refresh(replace(SESSION, generation=8)) != token
    for changed in (token[:-2], token[:5] + ("A" if token[5] != "A" else "B") + token[6:], token + "A", "é" * 70):
        with pytest.raises(AuthRequired):
            tokens.read_refresh(changed)
    with pytest.raises(AuthRequired):
        SessionTokens(SECRET, SECRET).read_refresh(token)


def test_the_longest_device_id_still_fits_into_a_token_and_a_cookie(tokens: SessionTokens) -> None:
    session = replace(SESSION, device=Device("😀" * 128, "A phone"))
    assert tokens.read_media(tokens.media(session, now=NOW)).device_id == "😀" * 128
    assert len(tokens.media(session, now=NOW)) < 4_000
