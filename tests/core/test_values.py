from __future__ import annotations

import copy
import io
import json
import pickle
import re
import threading
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from shanraq.core import ids, log, settings
from shanraq.core.actor import SYSTEM, Actor, ActorKind, Environment, MissingScopeError, book_of
from shanraq.core.crypto import InvalidKeyringError, Keyring, SealBrokenError, new_key_id
from shanraq.core.errors import ShanraqError
from shanraq.core.lifecycle import IllegalMoveError, Lifecycle
from shanraq.core.page import InvalidCursorError, PageRequest, page_of
from shanraq.core.secret import ApiSecret, InvalidPanError, Pan, Secret, SecurityCode

PAN = "4111111111111111"


class Light(Lifecycle):
    RED = "red", ("green",)
    GREEN = "green", ("red", "off")
    OFF = "off"


def test_a_status_moves_only_where_it_may() -> None:
    assert Light.RED.to(Light.GREEN) is Light.GREEN
    assert Light.GREEN.moves == {Light.RED, Light.OFF}
    assert Light.OFF.final
    with pytest.raises(IllegalMoveError, match="from red to off"):
        Light.RED.to(Light.OFF)


def test_an_error_class_needs_a_code_and_an_error_status() -> None:
    with pytest.raises(TypeError):

        class WrongError(ShanraqError, code="wrong", status=200):
            """No error status."""


@given(st.integers(0, (1 << 128) - 1))
def test_an_id_reads_back_as_its_number(number: int) -> None:
    assert ids.number_of("pay", ids.text_of("pay", number)) == number


def test_ids_of_many_threads_are_different_and_ordered_within_each() -> None:
    made: list[list[str]] = [[] for _ in range(4)]

    def make(into: list[str]) -> None:
        into.extend(ids.new_id("x") for _ in range(2000))

    threads = [threading.Thread(target=make, args=(into,)) for into in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(part == sorted(part) for part in made)
    assert len({one for part in made for one in part}) == 8000


@pytest.mark.parametrize(
    "text", ["", "pay_", "acc_01M8A6QJW2KC8J8CRBK9YEJB2Y", "pay_01M8A6QJW2KC8J8CRBK9YEJB2", "pay_81M8A6QJW2KC8J8CRBK9YEJB2Y",
             "pay_01M8A6QJW2KC8J8CRBK9YEJB2U", "pay_01m8a6qjw2kc8j8crbk9yejb2y", "pay_01M8A6QJW2KC8J8CRBK9YEJB2Y "]
)  # fmt: skip
def test_refuses_a_text_that_is_no_id_of_the_kind(text: str) -> None:
    with pytest.raises(ids.InvalidIdError) as refused:
        ids.number_of("pay", text, field="payment_id")

    assert refused.value.field == "payment_id"


def test_derived_numbers_are_stable_and_depend_on_every_part() -> None:
    assert ids.derived_number(1, "a", "b") == ids.derived_number(1, "a", "b")
    assert len({ids.derived_number(1, "a", "b"), ids.derived_number(1, "ab", ""), ids.derived_number(2, "a", "b")}) == 3


@pytest.mark.parametrize("secret", [Secret("hush-hush"), ApiSecret("hush-hush")])
def test_a_secret_shows_nowhere(secret: Secret) -> None:
    shown = f"{secret} {secret!r} {secret:>5} {[secret]} {secret!s}"

    assert "hush" not in shown
    assert secret.reveal() == "hush-hush"
    for leak in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError):
            leak(secret)


def test_a_card_number_shows_first_six_and_last_four() -> None:
    pan = Pan(PAN)

    assert f"{pan} {pan!r} {pan:s}" == "411111xxxxxx1111 Pan(411111xxxxxx1111) 411111xxxxxx1111"
    assert pan.last4 == "1111"
    assert pan == Pan(PAN)
    assert pan != ApiSecret(PAN)


@pytest.mark.parametrize(
    "text", ["4111111111111112", "41111111111", "4111 1111 1111 1111", "４111111111111111", "", "x" * 16]
)
def test_refuses_a_card_number_without_repeating_it(text: str) -> None:
    with pytest.raises(InvalidPanError) as refused:
        Pan(text)

    assert not text or text not in str(refused.value)


def test_refuses_a_security_code_that_is_not_three_or_four_digits() -> None:
    with pytest.raises(ShanraqError) as refused:
        SecurityCode("12a")

    assert refused.value.field == "security_code"
    assert "123" not in repr(SecurityCode("123"))


def test_sealed_values_open_in_their_context_only() -> None:
    keyring = Keyring.generate()
    sealed = keyring.seal(b"secret", context="payment_method/1")

    assert keyring.open(sealed, context="payment_method/1") == b"secret"
    assert b"secret" not in sealed
    with pytest.raises(SealBrokenError):
        keyring.open(sealed, context="payment_method/2")


@given(st.binary(max_size=64), st.data())
def test_one_changed_bit_breaks_the_seal(plain: bytes, data: st.DataObject) -> None:
    keyring = Keyring.generate()
    sealed = bytearray(keyring.seal(plain, context="c"))
    position = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[position // 8] ^= 1 << position % 8

    with pytest.raises(SealBrokenError):
        keyring.open(bytes(sealed), context="c")


def test_rotation_opens_old_values_and_reseals_them_under_the_new_key() -> None:
    old_id, new_id = new_key_id(), new_key_id()
    old = Keyring({old_id: b"o" * 32})
    both = Keyring({new_id: b"n" * 32, old_id: b"o" * 32})
    sealed = old.seal(b"plain", context="c")

    renewed = both.reseal(sealed, context="c")

    assert both.open(sealed, context="c") == both.open(renewed, context="c") == b"plain"
    assert both.key_id(renewed) == new_id
    assert both.reseal(renewed, context="c") == renewed
    assert both.fingerprint(b"x", purpose="p") == old.fingerprint(b"x", purpose="p")
    with pytest.raises(SealBrokenError):
        old.open(renewed, context="c")


def test_a_keyring_file_is_private_and_made_once(tmp_path: Path) -> None:
    path = tmp_path / "master.keys"
    first = Keyring.load_or_create(path)
    sealed = first.seal(b"x", context="c")

    assert path.stat().st_mode & 0o777 == 0o600
    assert Keyring.load_or_create(path).open(sealed, context="c") == b"x"
    assert "o" * 8 not in repr(first)


@pytest.mark.parametrize("text", ["", "nonsense", "0123abcd:AAAA", "0123abcd:!!", "0123ABCD:" + "A" * 43 + "="])
def test_refuses_a_broken_keyring_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "master.keys"
    path.write_text(text)

    with pytest.raises(InvalidKeyringError):
        Keyring.load(path)


def test_a_page_goes_on_where_the_last_one_ended() -> None:
    rows = [f"acc_{n}" for n in range(9, 5, -1)]

    page = page_of(rows, PageRequest(limit=3), str)

    assert page.items == ("acc_9", "acc_8", "acc_7")
    assert PageRequest.read(page.next_cursor, 3).after == "acc_7"
    assert page_of(rows[3:], PageRequest(limit=3), str).next_cursor == ""


@pytest.mark.parametrize("cursor", ["!", "YQ==", "YW/", "Ö", "J", "JztkZWxldGU"])
def test_refuses_a_cursor_it_did_not_make(cursor: str) -> None:
    with pytest.raises(InvalidCursorError):
        PageRequest.read(cursor, None)


@pytest.mark.parametrize("limit", [0, -1, 501])
def test_refuses_a_page_of_no_or_too_many_rows(limit: int) -> None:
    with pytest.raises(ShanraqError) as refused:
        PageRequest.read(None, limit)

    assert refused.value.field == "limit"


def test_an_actor_holds_its_scopes() -> None:
    actor = Actor(
        kind=ActorKind.PARTNER, id="key", partner_id="prt_1", environment=Environment.LIVE, book=book_of(3, Environment.LIVE),
        scopes=frozenset({"payments:read"}),
    )  # fmt: skip

    actor.require("payments:read")
    with pytest.raises(MissingScopeError):
        actor.require("payments:write")
    assert actor.livemode
    assert actor.book == 7
    assert SYSTEM.acting_for("prt_1", Environment.SANDBOX, 6).scope == ("prt_1", Environment.SANDBOX)


def test_settings_are_layered_and_typed(tmp_path: Path) -> None:
    file = tmp_path / "shanraq.toml"
    file.write_text('port = 1\nhost = "::1"\n[visa_live]\nurl = "https://visa.example"\nmerchant_id = "m"\n')

    loaded = settings.load(
        environment={"SHANRAQ_CONFIG": str(file), "SHANRAQ_PORT": "2", "SHANRAQ_VISA_LIVE_KEY_ID": "k",
                     "SHANRAQ_WEBHOOK_ALLOW_PORTS": "8443, 9443"},
        log_level="debug",
    )  # fmt: skip

    assert (loaded.port, loaded.host, loaded.log_level, loaded.webhook_allow_ports) == (2, "::1", "debug", (8443, 9443))
    assert (loaded.visa_live.url, loaded.visa_live.key_id) == ("https://visa.example", "k")
    assert loaded.keyring_path.name == "master.keys"


@pytest.mark.parametrize(
    ("environment", "field"),
    [
        ({"SHANRAQ_PORT": "many"}, "port"),
        ({"SHANRAQ_LOG_LEVEL": "loud"}, "log_level"),
        ({"SHANRAQ_CONFIG": "/absent.toml"}, "config"),
    ],
)
def test_a_wrong_setting_is_named(environment: dict[str, str], field: str) -> None:
    with pytest.raises(settings.InvalidSettingError) as refused:
        settings.load(environment=environment)

    assert refused.value.field == field


def test_an_unknown_setting_is_named(tmp_path: Path) -> None:
    file = tmp_path / "shanraq.toml"
    file.write_text("prot = 1\n")

    with pytest.raises(settings.InvalidSettingError) as refused:
        settings.load(file, environment={})

    assert refused.value.field == "prot"


def test_logs_hold_no_card_number_secret_or_name_at_any_depth() -> None:
    stream = io.StringIO()
    log.configure(stream=stream)
    try:
        structlog.get_logger("test").info(
            "payment.sent", card=PAN, spaced="4111 1111-1111 1111", number=int(PAN), first_name="Aigerim",
            deep={"list": [f"pan={PAN}", {"secret": "hush", "token": "hush"}], "raw": PAN.encode()},
            header="Authorization: Bearer aGVsbG8taHVzaA", order="1234567890123", error=ValueError(f"bad {PAN}"),
        )  # fmt: skip
    finally:
        log.configure()

    written = stream.getvalue()
    assert PAN not in written
    assert re.sub(r"\D", "", written).find(PAN) < 0
    assert "hush" not in written
    assert "aGVsbG8" not in written
    assert "Aigerim" not in written
    assert json.loads(written)["order"] == "1234567890123"
    assert "411111xxxxxx1111" in written
