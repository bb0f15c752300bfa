"""A real journal for the tests of the logs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.journal import TestJournal, journal


@pytest.fixture
def own(tmp_path: Path) -> Iterator[TestJournal]:
    """A journal of the test's own."""
    with journal(tmp_path) as running:
        yield running
