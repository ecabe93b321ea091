from collections.abc import Callable

import pytest

from serving.limits import MOST_CALLERS, Budget, RateLimit
from serving.refusal import Refusal


def test_a_budget_refuses_what_it_has_not_and_takes_back_all() -> None:
    budget = Budget(10)
    with budget.share() as take:
        take(4)
        take(6)
        with pytest.raises(Refusal) as caught, budget.share() as other:
            other(1)
        assert (caught.value.code, caught.value.retry_after_s) == ("overloaded", 1)
        assert budget.used == 10
    assert budget.used == 0


def test_a_budget_takes_back_what_a_failure_held() -> None:
    def fail(take: Callable[[int], None]) -> None:
        take(4)
        raise ZeroDivisionError

    budget = Budget(10)
    with pytest.raises(ZeroDivisionError), budget.share() as take:
        fail(take)
    assert budget.used == 0


def test_a_caller_may_burst_then_gets_a_token_each_period_and_others_have_their_own() -> None:
    rate = RateLimit(per_s=2.0, burst=3)
    for _ in range(3):
        rate.spend("a", 100.0)
    with pytest.raises(Refusal) as caught:
        rate.spend("a", 100.0)
    assert (caught.value.code, caught.value.retry_after_s) == ("rate_limited", 0.5)
    rate.spend("b", 100.0)
    with pytest.raises(Refusal):
        rate.spend("a", 100.25)
    rate.spend("a", 100.5)


def test_callers_who_come_and_go_are_forgotten() -> None:
    rate = RateLimit(per_s=1.0, burst=1)
    for number in range(MOST_CALLERS + 5):
        rate.spend(str(number), 0.0)
    assert len(rate._tokens) == MOST_CALLERS
    rate.spend("0", 0.0)  # would be refused if it were remembered
