"""How many images of each split an experiment takes."""

from keras_stt.experiments.errors import UserError


def check_counts(
    train: int | None, validation: int, test: int | None, image_size: int | None
) -> None:
    """Raises a `ValueError` for a number that no data set could have."""
    for name, value, least in (
        ("train_images", train, 1),
        ("validation_images", validation, 0),
        ("test_images", test, 1),
        ("image_size", image_size, 1),
    ):
        if value is not None and value < least:
            raise UserError(
                f"`{name}` must be at least {least}. Received: {name}={value}"
            )


def count_training(
    dataset: str, available: int, train: int | None, validation: int
) -> int:
    """Number of training images, all but the validation images by default.

    Args:
        dataset: Name of the data set, for the error.
        available: Size of the training split.
        train: Number of training images asked for, or None.
        validation: Number of images taken off the training split.

    Raises:
        ValueError: If there are not as many.
    """
    count = available - validation if train is None else train
    if count < 1 or count + validation > available:
        raise UserError(
            "`train_images` and `validation_images` must be at most "
            f"{available} together, the size of the training split of '{dataset}', "
            f"and leave something to train on. Received: train_images={count}, "
            f"validation_images={validation}"
        )
    return count


def count_test(dataset: str, split: str, available: int, test: int | None) -> int:
    """Number of test images, all by default.

    Args:
        dataset: Name of the data set, for the error.
        split: Name of the test split, for the error.
        available: Its size.
        test: Number of test images asked for, or None.

    Raises:
        ValueError: If there are not as many.
    """
    if test is not None and test > available:
        raise UserError(
            f"`test_images` must be at most {available}, the size of split '{split}' "
            f"of '{dataset}'. Received: test_images={test}"
        )
    return available if test is None else test
