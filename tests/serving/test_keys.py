import hashlib

import pytest

from features.errors import BadUsage
from serving.keys import caller_of, entry, make_key, read_keys

A, B = "a" * 64, "b" * 64


def test_entries_stand_on_lines_or_between_commas() -> None:
    keys = read_keys(f"crm:{A},\n\n# the old one, until May\ncrm-old:{B} # soon gone\n")
    assert keys == {"crm": bytes.fromhex(A), "crm-old": bytes.fromhex(B)}


def test_a_key_that_was_made_opens_and_nothing_like_it_does() -> None:
    key, other = make_key(), make_key()
    keys = read_keys(f"{entry('one', key)},{entry('other', other)}")
    assert (caller_of(key, keys), caller_of(other, keys)) == ("one", "other")
    assert [caller_of(wrong, keys) for wrong in ("", key[:-1], key + " ", make_key(), "\udcff")] == [None] * 5
    assert len({make_key() for _ in range(100)}) == 100
    assert len(key) >= 43


def test_only_the_hash_is_written_down() -> None:
    assert entry("crm", "secret") == f"crm:{hashlib.sha256(b'secret').hexdigest()}"


def test_every_fault_is_told_and_no_entry_repeated() -> None:
    with pytest.raises(BadUsage) as caught:
        read_keys(f"crm:{A}\njc_CANARY\ncrm:{B}")
    assert caught.value.code == "bad_keys"
    assert len(caught.value.faults) == 2
    assert caught.value.faults[0].startswith("entry 2 of the keys")
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "a" * 65, "a:b", "ä"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(BadUsage):
        entry(name, "key")
