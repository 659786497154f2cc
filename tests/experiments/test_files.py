"""Output folders: what they hold, and who writes to them."""

import pytest

from keras_stt.experiments.errors import UserError
from keras_stt.experiments.files import check_folder, claimed, write_json

pytestmark = pytest.mark.backend_free

HELD = {"task": "classify", "epochs": 6, "image_size": None, "data": "scenes 1.0: 12"}


@pytest.fixture
def folder(tmp_path):
    write_json(tmp_path / "experiment.json", HELD)
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "here", "there"),
    [
        ({"epochs": 7}, "epochs=7", "epochs=6"),
        ({"image_size": 24}, "image_size=24", "image_size unset"),
        # What else differs then is of no interest.
        ({"task": "caption", "epochs": 7}, "task=caption", "task=classify"),
        (
            {"data": "scenes 1.0: 34", "epochs": 7},
            "the images scenes 1.0: 34",
            "the images scenes 1.0: 12",
        ),
    ],
)
def test_a_folder_of_another_comparison(folder, changes, here, there):
    check_folder(folder, HELD)
    with pytest.raises(UserError) as error:
        check_folder(folder, HELD | changes)
    assert str(error.value).endswith(
        f"here with {here}. Received: {folder}, which holds one with {there}"
    )


def test_a_folder_of_something_else(tmp_path):
    check_folder(tmp_path / "new", HELD)
    check_folder(tmp_path, HELD)
    (tmp_path / ".hidden").touch()
    check_folder(tmp_path, HELD)
    (tmp_path / "letter.txt").touch()
    with pytest.raises(UserError, match="must be new, empty"):
        check_folder(tmp_path, HELD)
    with pytest.raises(UserError, match="must be a folder"):
        check_folder(tmp_path / "letter.txt", HELD)


def test_two_processes_do_not_share_a_folder(folder):
    with claimed(folder):
        with (
            pytest.raises(UserError, match="another process writes to"),
            claimed(folder),
        ):
            pass
        check_folder(folder, HELD)
    with claimed(folder):
        pass
