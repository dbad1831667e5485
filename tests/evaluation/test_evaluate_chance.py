"""What decisions without listening reach: against all decisions one by one, and in the limit of many utterances."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spooftrace.evaluation.chance import chance
from spooftrace.metrics.attribution import tracing_report


@given(st.lists(st.integers(1, 2), min_size=1, max_size=3), st.integers(0, 1))
@settings(max_examples=25, deadline=None)
def test_chance_is_the_mean_over_all_decisions(counts, more):
    names = [f"c{number}" for number in range(len(counts) + more)]  # perhaps a class that is never true
    truth = [name for name, count in zip(names, counts, strict=False) for _ in range(count)]
    every = [tracing_report(truth, list(decisions)) for decisions in product(names, repeat=len(truth))]
    found = chance(dict(zip(names, counts, strict=False)), len(names))["random"]
    for figure in ("accuracy", "macro_f1", "weighted_f1"):
        assert found[figure] == pytest.approx(np.mean([getattr(one, figure) for one in every]))


def test_majority_and_large_counts():
    found = chance({"real": 30_000, "mvq": 90_000, "sq": 10_000}, 3)
    always = tracing_report(["r"] * 3 + ["m"] * 9 + ["s"], ["m"] * 13)
    assert found["majority"]["class"] == "mvq"
    for figure in ("accuracy", "macro_f1", "weighted_f1"):
        assert found["majority"][figure] == pytest.approx(getattr(always, figure))
    # So many utterances make the F1 of a class what it is with a third of all decided to be of it.
    shares = np.array([30, 90, 10]) / 130
    assert found["random"]["macro_f1"] == pytest.approx(np.mean(2 * shares / 3 / (shares + 1 / 3)), abs=1e-4)
    with pytest.raises(ValueError, match="0 utterances"):
        chance({"real": 0}, 2)
