"""What two bodies say differently: named, with both values, and without secrets."""

from streamledger.tencent.differences import NAME_CHARACTERS_MAX, differences, differing_fields


def test_the_fields_that_differ_are_named_and_t_and_sign_are_not() -> None:
    first = b'{"a": 1, "b": [1, {"c": 2}], "gone": null, "t": 1, "sign": "x"}'
    this = b'{"b": [1, {"c": 3}], "a": 1, "new": 0, "t": 2, "sign": "y"}'
    assert differing_fields(first, this) == ["b", "gone", "new"]


def test_another_type_is_another_value() -> None:
    assert differing_fields(b'{"a": 1, "b": 1, "c": "1"}', b'{"a": true, "b": 1.0, "c": 1}') == [
        "a",
        "b",
        "c",
    ]


def test_order_and_spelling_are_no_difference() -> None:
    assert differing_fields(b'{"a": 1, "b": "x"}', b'{ "b":"\\u0078", "a":1, }') == []


def test_both_values_are_shown_and_no_secret() -> None:
    first = b'{"t": 1, "sign": "aa", "stream_param": "txSecret=one&x=1", "txSecret": "k"}'
    this = b'{"t": 2, "sign": "bb", "stream_param": "txSecret=two&x=2"}'
    shown = {each.field: (each.first, each.this) for each in differences(first, this)}
    assert shown == {
        "t": (1, 2),
        "sign": ("REDACTED", "REDACTED"),
        "stream_param": ("txSecret=REDACTED&x=1", "txSecret=REDACTED&x=2"),
        "txSecret": ("REDACTED", None),
    }


def test_a_name_that_a_sender_invents_is_cut_and_made_harmless() -> None:
    this = b'{"\\u001b[2J\\u0000": 1, "%s": 1, "x?txSecret=abc": 1}' % (b"n" * 500)
    assert differing_fields(b"{}", this) == sorted(
        ["\ufffd[2J\ufffd", "n" * NAME_CHARACTERS_MAX, "x?txSecret=REDACTED"]
    )
