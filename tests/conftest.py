"""What all tests share."""

import contextlib
import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# On JAX, most of the time goes into compiling programs that run once. Set where
# processes that tests start find it, too: they must compute the same.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

# Torch before TensorFlow, where both are there: the other order can crash.
with contextlib.suppress(ImportError):
    import torch  # noqa: F401

import keras
import pytest


@pytest.fixture(scope="session", autouse=True)
def _few_collections():
    # Keras collects garbage for each weight that a layer gives up, as all do that are
    # quantised. In a process that has compiled much, that takes a second each time.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc, "collect", int)
        yield


@pytest.fixture(autouse=True)
def _reproducible():
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def scenes_dir(tmp_path_factory):
    """A folder with a small `scenes`, for what reads data sets by name."""
    from keras_stt.datasets import prepare_scenes, scenes

    folder = tmp_path_factory.mktemp("tensorflow_datasets")
    with pytest.MonkeyPatch.context() as patch:
        few = {"train": 64, "test": 32}
        few |= {"caption_train": 64, "caption_test": 32, "caption_unseen": 16}
        patch.setattr(scenes, "EXAMPLES", few)
        prepare_scenes(str(folder))
    return str(folder)
