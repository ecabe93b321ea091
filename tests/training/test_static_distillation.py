"""Distillation: axes of most variance, and less weight for frequent tokens."""

from __future__ import annotations

import numpy as np
import pytest

from training.static_distillation import distil, principal_components, token_weights


def test_components_are_the_axes_of_most_variance_with_a_settled_sign() -> None:
    points = np.array([[1, 5], [3, 5.5], [5, 4.5], [7, 5]], dtype=np.float32)
    found = principal_components(points, 1)
    assert found.ravel().tolist() == pytest.approx([-3, -1, 1, 3], abs=0.15)
    np.testing.assert_allclose(principal_components(-points, 1), -found, atol=1e-6)


def test_all_components_keep_every_distance() -> None:
    points = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    found = principal_components(points, 4)
    for one, other in ((0, 1), (3, 17)):
        assert np.linalg.norm(found[one] - found[other]) == pytest.approx(np.linalg.norm(points[one] - points[other]))


def test_frequent_tokens_weigh_less() -> None:
    # Of two words p = (1/2, 1/3) / (5/6) = (0.6, 0.4).
    assert token_weights(2).tolist() == pytest.approx([1e-4 / 0.6001, 1e-4 / 0.4001])


def test_marks_have_no_vector_and_do_not_count() -> None:
    random = np.random.default_rng(0)
    outputs = random.normal(size=(5, 3)).astype(np.float32)
    with_marks = distil(outputs, ["[PAD]", "the", "[unused1]", "price", "["])
    words = distil(outputs[[1, 3, 4]], ["the", "price", "["])

    assert with_marks.dtype == np.float16
    assert not with_marks[[0, 2]].any()
    assert with_marks[[1, 3, 4]].tolist() == words.tolist()
    assert words.any(axis=1).all()
