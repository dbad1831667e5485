"""Fixtures of all tests."""

import pytest
from hypothesis import settings
from miniature.speech import Speech

settings.register_profile("no deadline", deadline=None)  # a busy machine is slow, which is no failure
settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def speech():
    """Real utterances and spoofed copies for the miniatures."""
    return Speech()
