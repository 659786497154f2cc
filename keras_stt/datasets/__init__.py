"""Data sets that are drawn here and need no network.

`scene`, `render` and `captions` make single examples and need NumPy alone.
`prepare_scenes` gives them as a TensorFlow Datasets builder; `import
keras_stt.datasets.scenes` registers that builder, so that `tfds.load("scenes")` finds
it.
"""

from typing import Any

from keras_stt.datasets.captions import captions, is_correct
from keras_stt.datasets.drawing import Object, Scene, render, scene


def prepare_scenes(data_dir: str | None = None) -> Any:
    """Draws the data set `scenes` into a folder, unless it is there already.

    Nothing is downloaded. Needs `tensorflow-datasets`, `importlib_resources` and
    TensorFlow, whichever backend Keras uses.

    Args:
        data_dir: Folder of prepared data sets. Defaults to the default folder of
            TensorFlow Datasets.

    Returns:
        The prepared `tfds.core.DatasetBuilder`.

    Raises:
        ImportError: If `tensorflow-datasets` is not installed.

    Example:
        >>> builder = prepare_scenes("data")  # doctest: +SKIP
        >>> train, test = builder.as_dataset(split=["train", "test"])  # doctest: +SKIP
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ImportError(
            "`prepare_scenes` needs tensorflow-datasets. Install it with: "
            "pip install 'keras-stt[compare,tensorflow]'"
        ) from error
    from keras_stt.datasets.scenes import Scenes

    builder = Scenes(data_dir=data_dir)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(try_download_gcs=False)
    )
    return builder


__all__ = [
    "Object",
    "Scene",
    "captions",
    "is_correct",
    "prepare_scenes",
    "render",
    "scene",
]
