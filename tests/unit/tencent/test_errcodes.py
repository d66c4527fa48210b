"""The errcodes say what the protocol says."""

import pytest

from streamledger.tencent.errcodes import ERRCODES, ErrcodeClass, class_of, meaning_of


@pytest.mark.parametrize(
    ("expected", "errcodes"),
    [
        (ErrcodeClass.CLEAN, [1, 2, 3, 35]),
        (ErrcodeClass.CLIENT_NETWORK, [4, 12, 13, 14, 15, 16, 17]),
        (ErrcodeClass.CLIENT_CONTENT, [6, 7, 23, 33, 39]),
        (ErrcodeClass.IDLE, [8, 20]),
        (ErrcodeClass.PLATFORM, [5, 9, 10, 11, 24, 37, 38]),
        (ErrcodeClass.REFUSED, [18, 19]),
        (ErrcodeClass.REPLACED, [21]),
        (ErrcodeClass.UNKNOWN, [None, -1, 0, 22, *range(25, 33), 34, 36, 40, 2**63]),
    ],
)
def test_each_errcode_has_its_class(expected: ErrcodeClass, errcodes: list[int | None]) -> None:
    assert {class_of(errcode) for errcode in errcodes} == {expected}
    assert all(meaning_of(errcode) for errcode in errcodes)


def test_no_documented_errcode_is_left_to_the_unknown() -> None:
    assert ErrcodeClass.UNKNOWN not in {found for found, _ in ERRCODES.values()}
    assert "seed" in meaning_of(4)
    assert "today" in meaning_of(4)
