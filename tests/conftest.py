"""What tests share: the real data where it is at hand, and property tests that run the same everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# Examples are drawn from each test's own name, not from a clock or a database of earlier runs.
settings.register_profile("journeycast", derandomize=True, deadline=None)
settings.load_profile("journeycast")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data beside the repository; none of it is part of the repository."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data (../shared/data) is not on this machine")
    return folder
