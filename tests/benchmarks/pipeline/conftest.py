"""A broker for the measurements that publish."""

from collections.abc import Iterator

import pytest

from benchmarks.measuring.broker import Address, find_mosquitto, mosquitto


@pytest.fixture(scope="session")
def broker() -> Iterator[Address]:
    program = find_mosquitto()
    if program is None:
        pytest.skip("mosquitto is not installed")
    with mosquitto(program) as address:
        yield address
