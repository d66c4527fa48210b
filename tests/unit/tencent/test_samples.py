"""Every sample body is read as its golden expectation says."""

import re

import msgspec
import pytest

from streamledger.domain.errors import MalformedBody
from streamledger.tencent.envelope import read_envelope
from streamledger.tencent.reader import read_notification
from streamledger.tencent.signature import CallbackKey, signature_of, verify
from streamledger.tencent.tolerant import parse_object

from .samples import DIRECTORY, EXPECTED, NAMES, TEST_KEY, body_of, expected_of


def test_every_sample_has_an_expectation_and_every_expectation_a_sample() -> None:
    expectations = {path.name.removesuffix(EXPECTED) for path in DIRECTORY.glob(f"*{EXPECTED}")}
    assert expectations == set(NAMES)
    assert len(NAMES) == 16


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_reads_as_expected(name: str) -> None:
    expected = expected_of(name)
    if "malformed_field" in expected:
        for read in (read_envelope, read_notification):
            with pytest.raises(MalformedBody) as caught:
                read(body_of(name))
            assert caught.value.facts["field"] == expected["malformed_field"]
        return
    notification = read_notification(body_of(name))
    assert msgspec.json.decode(msgspec.json.encode(notification)) == expected
    envelope = read_envelope(body_of(name))
    assert (envelope.event_type, envelope.stream_id, envelope.sequence) == (
        expected["event_type"],
        expected["stream_id"],
        expected["sequence"],
    )


@pytest.mark.parametrize("name", ["css2023_push_1", "css2023_stop_0"])
def test_the_signed_pair_verifies_with_its_key(name: str) -> None:
    envelope = read_envelope(body_of(name))
    assert envelope.t is not None
    assert envelope.sign is not None
    assert verify([CallbackKey("test", TEST_KEY)], envelope.t, envelope.sign, 1713732000) == "test"
    assert verify([CallbackKey("other", TEST_KEY + "x")], envelope.t, envelope.sign, 1713732000) is None


@pytest.mark.parametrize("name", ["seed_stop_0", "seed_record_100", "seed_screenshot_200"])
def test_a_seed_body_with_only_t_and_sign_renewed_is_read_and_verified(name: str) -> None:
    t = "1764000600"
    body = re.sub(rb'("t":\s*)\d+', rb"\g<1>" + t.encode(), body_of(name))
    body = re.sub(rb'("sign":\s*")[0-9a-f]+', rb"\g<1>" + signature_of(TEST_KEY, t).encode(), body)
    assert body != body_of(name)
    envelope = read_envelope(body)
    assert envelope.t == t
    assert envelope.sign is not None
    assert verify([CallbackKey("test", TEST_KEY)], envelope.t, envelope.sign, 1764000000) == "test"
    assert read_notification(body) == read_notification(body_of(name))


def test_what_was_mended_is_noted() -> None:
    notes = {name: parse_object(body_of(name))[1] for name in NAMES if "missing_comma" not in name}
    assert {name for name, mended in notes.items() if mended} == {"seed_record_100", "seed_screenshot_200"}
    assert notes["seed_record_100"] == ("json5",)
    assert read_envelope(body_of("seed_record_100")).mended == ("json5",)


def test_a_missing_comma_is_not_guessed_and_the_error_shows_no_secret() -> None:
    with pytest.raises(MalformedBody) as caught:
        parse_object(body_of("css2025_screenshot_200_missing_comma"))
    assert "comma" in str(caught.value)
    assert "0123456789abcdef" not in str(caught.value)
