"""A teacher, its pictures and what it said of them: made once for all tests of distillation."""

from collections.abc import Iterator

import pytest
from classroom import Classroom, one_thread, prepare_room, request_of
from exported import Exports
from rich.progress import Progress

from edge.model.bundle.read import Bundle
from export.distill.data.pictures import PictureSet, prepare
from export.distill.pipeline import Distillation, Distilled, distill


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="session")
def bundle(exports: Exports) -> Bundle:
    """The teacher's."""
    return exports.build("clip").bundle


@pytest.fixture(scope="session")
def pictures(exports: Exports, tmp_path_factory: pytest.TempPathFactory) -> PictureSet:
    return prepare([exports.pictures()], tmp_path_factory.mktemp("prepared") / "pictures")


@pytest.fixture(scope="session")
def room(
    bundle: Bundle, pictures: PictureSet, tmp_path_factory: pytest.TempPathFactory
) -> Classroom:
    return prepare_room(bundle, pictures, tmp_path_factory.mktemp("answers"))


@pytest.fixture(scope="session")
def request_(
    bundle: Bundle, exports: Exports, tmp_path_factory: pytest.TempPathFactory
) -> Distillation:
    return request_of(bundle.path, exports.pictures(), tmp_path_factory.mktemp("distilled"))


@pytest.fixture(scope="session")
def distilled(request_: Distillation) -> Distilled:
    """A whole distillation, both phases."""
    with one_thread():  # before that of the module
        return distill(request_, Progress(disable=True))
