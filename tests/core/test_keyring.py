"""Master keys are exchanged while processes run: nothing becomes unreadable, and fingerprints stay what they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from shanraq.core.crypto import InvalidKeyringError, Keyring, SealBrokenError, add_key, remove_key


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "master.keys"
    Keyring.load_or_create(path)
    return path


def test_a_running_process_opens_what_a_new_key_sealed(path: Path) -> None:
    running = Keyring.load(path)
    name = add_key(path)
    sealed = Keyring.load(path).seal(b"plain", context="c")

    assert Keyring.key_id(sealed) == name
    assert running.open(sealed, context="c") == b"plain"
    assert running.key_ids[0] == name
    assert Keyring.key_id(running.seal(b"x", context="c")) == name


def test_retiring_the_oldest_key_keeps_fingerprints_and_breaks_only_what_hung_on_it(path: Path) -> None:
    before = Keyring.load(path)
    (old,) = before.key_ids
    left, fingerprint = before.seal(b"left", context="c"), before.fingerprint(b"card", purpose="p")
    add_key(path)
    moved = Keyring.load(path).reseal(before.seal(b"moved", context="c"), context="c")

    remove_key(path, old)
    after = Keyring.load(path)

    assert old not in after.key_ids
    assert after.open(moved, context="c") == b"moved"
    assert after.fingerprint(b"card", purpose="p") == fingerprint
    with pytest.raises(SealBrokenError):
        after.open(left, context="c")
    add_key(path)
    assert Keyring.load(path).fingerprint(b"card", purpose="p") == fingerprint
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_the_newest_and_unknown_keys_are_not_removed(path: Path) -> None:
    newest = add_key(path)
    before = path.read_bytes()

    for name in (newest, "00000000"):
        with pytest.raises(InvalidKeyringError):
            remove_key(path, name)
    assert path.read_bytes() == before


def test_a_file_that_breaks_or_vanishes_changes_nothing_in_a_running_process(path: Path) -> None:
    running = Keyring.load(path)
    sealed = running.seal(b"plain", context="c")
    other = Keyring.generate().seal(b"plain", context="c")
    for spoil in (lambda: path.write_text("nonsense"), path.unlink):
        spoil()
        with pytest.raises(SealBrokenError):
            running.open(other, context="c")
        assert running.open(sealed, context="c") == b"plain"


@pytest.mark.parametrize("line", ["fingerprint:AAAA", "fingerprint:" + "A" * 43 + "=\nfingerprint:" + "A" * 43 + "="])
def test_a_broken_or_second_fingerprint_line_is_refused(path: Path, line: str) -> None:
    path.write_text(path.read_text() + line + "\n")

    with pytest.raises(InvalidKeyringError):
        Keyring.load(path)
