"""The first staff of a hospital, and the last resort, from the machine's own shell."""

import secrets

from tests.support.contract import World


def _told(output: str) -> dict[str, str]:
    """What the command printed, by its label."""
    labels = ("user name", "roles", "password", "TOTP secret", "authenticator")
    return {
        label: line.removeprefix(label).strip() for line in output.splitlines() for label in labels if line.startswith(label)
    }


async def test_a_first_operator_signs_in_with_what_was_printed_once_and_is_renewed_by_hand(world: World) -> None:
    username, yunzhen = f"op.{secrets.token_hex(4)}", world.product.yunzhen
    code, output = await yunzhen("staff", "add", username.upper(), "--name", "韩立", "--role", "operator", "--role", "finance")
    told = _told(output)
    assert (code, told["user name"], told["roles"]) == (0, username, "finance, operator")
    assert told["authenticator"] == f"otpauth://totp/Yunzhen:{username}?secret={told['TOTP secret']}&issuer=Yunzhen"
    person = {"username": username, "password": told["password"], "totp_secret": told["TOTP secret"]}
    staff = world.client((await world.sign_in_staff(person)).ok(201))
    assert (await staff.get("/admin/me"))["roles"] == ["finance", "operator"]
    code, output = await yunzhen("staff", "renew", username)
    renewed = _told(output)
    assert (code, renewed["password"] != told["password"]) == (0, True)
    (await staff.ask("GET", "/admin/me")).refused(401, "auth.required")
    (await world.sign_in_staff(person)).refused(401, "auth.invalid")
    again = person | {"password": renewed["password"], "totp_secret": renewed["TOTP secret"]}
    assert (await world.sign_in_staff(again)).status == 201


async def test_staff_that_may_not_be_is_refused_and_nothing_is_printed_of_it(world: World) -> None:
    for command, code, why in (
        (("add", "admin", "--name", "某", "--role", "operator"), 1, "has this user name"),
        (("add", "both", "--name", "某", "--role", "auditor", "--role", "operator"), 1, "Auditors have accounts of their own"),
        (("add", "wrong", "--name", "某", "--role", "king"), 2, "roles are medical_admin"),
        (("add", "wrong", "--name", " ", "--role", "operator"), 2, "a name has 1 to 60"),
        (("add", "wrong", "--name", "某", "--role", "operator", "--hospital", "../x"), 2, "a hospital's id"),
        (("renew", "nobody.here"), 1, "no such member"),
    ):
        answer, output = await world.product.yunzhen("staff", *command)
        assert (answer, why in output, "password" in output) == (code, True, False), output
