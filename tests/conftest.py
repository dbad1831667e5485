"""Fixtures of all tests."""

import pytest
from miniature.speech import Speech


@pytest.fixture(scope="session")
def speech():
    """Real utterances and spoofed copies for the miniatures."""
    return Speech()
