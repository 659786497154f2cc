"""Which backend Keras gets where the configured one is not installed."""

import importlib.util
import json
import os
import sys

import pytest
from support import run_python

from keras_stt.backend import use_an_installed_backend

pytestmark = pytest.mark.backend_free


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Nothing chosen, Keras not imported yet; say which backends are installed."""
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delitem(sys.modules, "keras")

    def with_installed(*names):
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: name if name in names else None
        )

    return with_installed


def chosen():
    return os.environ.get("KERAS_BACKEND")


def test_an_installed_backend_is_used(machine):
    machine("torch", "jax")
    with pytest.warns(UserWarning, match="tensorflow, is not installed: using jax"):
        use_an_installed_backend()
    assert chosen() == "jax"


def test_the_configured_backend_stays(machine, tmp_path):
    machine("tensorflow", "torch")
    (tmp_path / "keras.json").write_text(json.dumps({"backend": "torch"}))
    use_an_installed_backend()
    assert chosen() is None


def test_a_chosen_backend_stays(machine, monkeypatch):
    machine("torch")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    use_an_installed_backend()
    assert chosen() == "jax"


def test_without_any_backend_it_says_what_to_install(machine):
    machine()
    with pytest.raises(ImportError, match=r"pip install 'keras-stt\[jax\]'"):
        use_an_installed_backend()


def test_the_package_chooses_before_keras_is_imported(tmp_path):
    code = (
        "import importlib.util, os, sys, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "del os.environ['KERAS_BACKEND']\n"
        "os.environ['KERAS_HOME'] = sys.argv[1]\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: (\n"
        "    None if name == 'tensorflow' else find(name, *more))\n"
        "import keras_stt, keras\n"
        "print(keras.backend.backend())\n"
    )
    # The next of those that are here: the test needs two.
    if any(importlib.util.find_spec(name) is None for name in ("tensorflow", "jax")):
        pytest.skip("needs TensorFlow and JAX")
    assert run_python(code, tmp_path, backend="jax").split() == ["jax"]
