"""The school that the tests of the API share: its own servers, because some of them are taken away."""

from collections.abc import Iterator

import pytest

from tests.integration.served import School, enrol
from worker.local.session import Session


@pytest.fixture(scope="session")
def school(tmp_path_factory: pytest.TempPathFactory) -> Iterator[School]:
    with Session(tmp_path_factory.mktemp("school")) as session:
        found = School(session)
        enrol(found)
        yield found
        found.close()
    session.remove()
