"""No spelling of a secret parameter survives redaction."""

import copy
import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamledger.tencent.redaction import SecretName, Secrets, also_redact, may_hold_secret, redact

from .samples import NAMES, body_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1&txSecret=ABC&txTime=5", "a=1&txSecret=REDACTED&txTime=5"),
        ("txSecret=ABC", "txSecret=REDACTED"),
        ("rtmp://h/live/s?txSecret=ABC#x", "rtmp://h/live/s?txSecret=REDACTED#x"),
        ("TXSECRET=ABC&b", "txSecret=REDACTED&b"),
        ("t%78Secret=ABC&b", "txSecret=REDACTED&b"),
        ("u=h%3FtxSecret%3DABC%26b%3D1&c=2", "u=h%3FtxSecret%3DREDACTED%26b%3D1&c=2"),
        ("u=h%253FtxSecret%253DABC%2526b", "u=h%253FtxSecret%253DREDACTED%2526b"),
        ("txSecret=A%26BC&b", "txSecret=REDACTED&b"),
        ('{"u":"h?txSecret=ABC"}', '{"u":"h?txSecret=REDACTED"}'),
        (r'{"u":"h?a\u0026txSecret\u003dABC\u0026b"}', r'{"u":"h?a\u0026txSecret\u003dREDACTED\u0026b"}'),
        ('{"txSecret": "A,B", "b": 1}', '{"txSecret": "REDACTED", "b": 1}'),
        (r'"{\"txSecret\":\"ABC\"}"', r'"{\"txSecret\":\"REDACTED\"}"'),
        ('{"txSecret": 123, "b": 1}', '{"txSecret": REDACTED, "b": 1}'),
        ("txSecret=A&txSecret=B", "txSecret=REDACTED&txSecret=REDACTED"),
        ("推流失败txSecret=ABC，重试", "推流失败txSecret=REDACTED"),
        ("txSecret: ABC, node: 7", "txSecret: REDACTED, node: 7"),
        ("txSecret = ABC&b", "txSecret = REDACTED&b"),
        (r'{"u":"\u0074xSecret\u003dABC"}', r'{"u":"txSecret\u003dREDACTED"}'),
        ('{"txSecret": ["A","B"], "b": 1}', '{"txSecret": REDACTED, "b": 1}'),
        ('{"txSecret": {"v": "A"}, "b": 1}', '{"txSecret": REDACTED, "b": 1}'),
        ("cb=%7B%22txSecret%22%3A%22ABC%22%7D&c", "cb=%7B%22txSecret%22%3A%22REDACTED%22%7D&c"),
        ("cb=%257B%2522txSecret%2522%253A%25207%257D", "cb=%257B%2522txSecret%2522%253A%2520REDACTED%257D"),
        ('refused rtmp://h/s?txSecret="A B"&b=1', 'refused rtmp://h/s?txSecret="REDACTED"&b=1'),
        (r'{"errmsg":"h?txSecret=\"A\" b"}', r'{"errmsg":"h?txSecret=\"REDACTED\" b"}'),
        (r'"{\"e\":\"h?txSecret=\\\"A\\\"\"}"', r'"{\"e\":\"h?txSecret=\\\"REDACTED\\\"\"}"'),
        (r'{"txSecret":"A\"B"}', '{"txSecret":"REDACTED"}'),
        ('{"txSecret": {"v": "}", "w": ["A"]}, "b": 1}', '{"txSecret": REDACTED, "b": 1}'),
        ("a%5Cu0026txSecret%5Cu003dABC", "a%5Cu0026txSecret%5Cu003dREDACTED"),
        (r"first\ntxSecret=ABC\nnext", r"first\ntxSecret=REDACTED\nnext"),
        (r"txSecret=AB\/CD&b", "txSecret=REDACTED&b"),
        ("?t=1&sign=ABC", "?t=1&sign=REDACTED"),
        ("q-sign-time=1;2&q-signature=ABC&b", "q-sign-time=1;2&q-signature=REDACTED&b"),
        ("x-amz-date=1&x-amz-signature=ABC", "x-amz-date=1&X-Amz-Signature=REDACTED"),
        ("Signature=ABC&Expires=1", "signature=REDACTED&Expires=1"),
        ("sign: expected the MD5", "sign: expected the MD5"),
        ("mytxSecret=1&txSecretary=2", "mytxSecret=1&txSecretary=2"),
        ("no secret", "no secret"),
    ],
)
def test_each_spelling_is_redacted(text: str, expected: str) -> None:
    assert redact(text) == expected
    assert redact({"a": [text]}) == {"a": [expected]}
    assert redact(expected) == expected


def test_fields_so_named_are_taken_whole_at_any_depth() -> None:
    sent = {"sign": "abc", "t": 1, "inner": {"sign": "abc", "txsecret": "x"}, "txSecret": ["y"]}
    kept = copy.deepcopy(sent)
    assert redact(sent) == {
        "sign": "REDACTED",
        "t": 1,
        "inner": {"sign": "REDACTED", "txsecret": "REDACTED"},
        "txSecret": "REDACTED",
    }
    assert sent == kept
    assert redact({"sign": None, "t": None}) == {"sign": None, "t": None}


def test_other_names_can_be_asked_for() -> None:
    assert redact("token=1&txSecret=2", Secrets((SecretName("token"),))) == "token=REDACTED&txSecret=2"


@pytest.mark.parametrize("name", NAMES)
def test_no_sample_leaks_its_secret(name: str) -> None:
    shown = redact(body_of(name).decode())
    assert "d5569fb19d1e858bf683b30c10dec908" not in shown
    assert "txSecret=0123456789abcdef" not in shown


PIECES = ["txSecret", "=", "%3D", "%253d", "&", '"', "\\", ":", " ", "x", r"\u0026", "REDACTED", "%26", ","]
TEXTS = st.lists(st.sampled_from(PIECES)).map("".join)
FIELD_NAMES = st.sampled_from(["a", "sign", "txSecret"])


@given(
    st.recursive(
        st.none() | st.integers() | TEXTS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELD_NAMES, inner),
    )
)
def test_redaction_is_idempotent_and_leaves_its_argument(obj: Any) -> None:
    before = json.dumps(obj)
    once = redact(obj)
    assert redact(once) == once
    assert json.dumps(obj) == before


@pytest.mark.parametrize(
    "piece",
    [
        "\\",
        "%25",
        "%",
        " ",
        "txSecret",
        "txSecret ",
        "t\\",
        '{"',
        "%22",
        "\\u0074",
        "sign=[",
        "sign=&",
        'sign="',
        "&=",
    ],
)
def test_no_body_makes_redaction_look_at_it_again_and_again(piece: str) -> None:
    end = r"\u0041%"  # without one of these the patterns are not asked
    short, long = piece * (16_384 // len(piece)) + end, piece * (131_072 // len(piece)) + end
    redact(short)
    spent = []
    for text in (short, long):
        began = time.process_time_ns()
        redact(text)
        spent.append(time.process_time_ns() - began)
    # Eight times the length costs eight times the work, not sixty-four times; noise leaves it far from that.
    assert spent[1] < 32 * max(spent[0], 1_000_000), spent


def test_further_parameters_are_redacted_once_the_process_has_been_told() -> None:
    also_redact(frozenset({"auth_key"}))
    try:
        assert redact("txSecret=a&auth_key=b&t=c") == "txSecret=REDACTED&auth_key=REDACTED&t=c"
        assert redact({"u": "x%3Fauth%5Fkey%3Db"}) == {"u": "x%3Fauth_key%3DREDACTED"}
        assert redact({"Auth_Key": "b"}) == {"Auth_Key": "REDACTED"}
    finally:
        also_redact(frozenset())
    assert redact("auth_key=b") == "auth_key=b"


PIECES = (
    "txSecret",
    "TXSECRET",
    "=",
    ":",
    "%",
    "%3D",
    "A",
    "&",
    '"',
    "\\",
    "\\u0053",
    "推",
    "?",
    "sign",
    "ſ",
    "\n",
)


@given(
    st.lists(st.sampled_from(PIECES), max_size=8).map("".join),
    st.dictionaries(st.sampled_from(("sign", "txsecret", "name")), st.just("A")),
)
def test_what_is_said_to_hold_no_secret_is_left_as_it_is_by_redaction(text: str, more: Any) -> None:
    obj = {"url": text, "list": [text], **more}
    if not may_hold_secret(msgspec.json.encode(obj).decode()):
        assert redact(obj) == obj


def test_each_secret_is_suspected_in_the_encoded_answer() -> None:
    for text in ("txSecret=A", "t%78Secret=A", "t\\u0078Secret=A", "TXSECRET: A"):
        assert may_hold_secret(msgspec.json.encode({"url": text}).decode()), text
    assert not may_hold_secret(msgspec.json.encode({"url": "http://a.example.com/1.jpg"}).decode())
