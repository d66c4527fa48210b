"""A signature is believed only from a key that is valid now, exactly as the sender writes it."""

import hashlib
import pickle

import pytest

from streamledger.domain.errors import SettingInvalid
from streamledger.tencent.signature import CallbackKey, signature_of, verify

NOW_S = 1713732000
T = "1713732078"
OLD = CallbackKey("old", "secret-old", not_after_s=NOW_S)
NEW = CallbackKey("new", "secret-new", not_before_s=NOW_S)


def test_a_signature_is_the_md5_of_key_and_t() -> None:
    assert signature_of("abc", "123") == hashlib.md5(b"abc123").hexdigest()


def test_the_key_that_signed_is_named_wherever_it_stands() -> None:
    for keys in ([OLD, NEW], [NEW, OLD]):
        assert verify(keys, T, signature_of("secret-old", T), NOW_S) == "old"
        assert verify(keys, T, signature_of("secret-new", T), NOW_S) == "new"
        assert verify(keys, T, signature_of("secret-none", T), NOW_S) is None
    assert verify([], T, signature_of("secret-old", T), NOW_S) is None


def test_the_first_of_two_keys_with_one_secret_wins() -> None:
    keys = [CallbackKey("a", "s", not_after_s=NOW_S - 1), CallbackKey("b", "s"), CallbackKey("c", "s")]
    assert verify(keys, T, signature_of("s", T), NOW_S) == "b"


def test_a_key_is_valid_within_its_window_only_ends_included() -> None:
    assert verify([OLD], T, signature_of("secret-old", T), NOW_S + 1) is None
    assert verify([NEW], T, signature_of("secret-new", T), NOW_S - 1) is None


@pytest.mark.parametrize(
    "spoil", [str.upper, lambda s: s + " ", lambda s: s[:-1], lambda s: "", lambda s: "é\ud800"]
)
def test_a_sign_that_differs_at_all_is_wrong(spoil: object) -> None:
    assert callable(spoil)
    assert verify([OLD], T, spoil(signature_of("secret-old", T)), NOW_S) is None


def test_t_is_signed_as_sent() -> None:
    assert verify([OLD], "0" + T, signature_of("secret-old", "0" + T), NOW_S) == "old"
    assert verify([OLD], "0" + T, signature_of("secret-old", T), NOW_S) is None


def test_a_key_never_shows_its_secret() -> None:
    for shown in (repr(OLD), str(OLD), f"{[OLD]}"):
        assert "secret-old" not in shown
        assert "old" in shown


def test_a_key_can_be_handed_to_another_process() -> None:
    assert verify([pickle.loads(pickle.dumps(OLD))], T, signature_of("secret-old", T), NOW_S) == "old"


def test_an_empty_secret_is_refused() -> None:
    with pytest.raises(SettingInvalid):
        CallbackKey("empty", "")
