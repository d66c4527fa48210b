"""What a second may cost is given back evenly, and never saved up."""

from streamledger.operations.second_budget import SECOND_US, SecondBudget


def test_what_was_read_in_vain_is_paid_back_in_time() -> None:
    budget = SecondBudget(1000)
    assert budget.allows(0)
    budget.charge(1500)
    assert not budget.allows(0)
    assert not budget.allows(SECOND_US // 2)
    assert budget.allows(SECOND_US * 6 // 10)
    budget.charge(200)
    assert not budget.allows(SECOND_US * 6 // 10)
    assert budget.allows(100 * SECOND_US)
    budget.charge(1000)
    assert not budget.allows(100 * SECOND_US), "more than a second's bytes are never saved up"
