"""What README and the pages of docs/ say can be done: their code and commands."""

import re
import shlex
import tomllib
from pathlib import Path

import keras
import numpy as np
import pytest
from support import run_python

import keras_stt
from keras_stt.cli.app import app

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])

pytestmark = pytest.mark.backend_free


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def few_photographs(folder):
    """Five classes of five images each."""
    rng = np.random.default_rng(0)
    for number in range(25):
        target = folder / f"class {number % 5}"
        target.mkdir(exist_ok=True, parents=True)
        pixels = rng.integers(0, 256, (64, 64, 3), "uint8")
        keras.utils.save_img(target / f"{number}.png", pixels, scale=False)


def captioner():
    words = keras_stt.models.learn_vocabulary(["a red circle", "two squares"])
    return keras_stt.models.ImageCaptioner(
        (8, 6, 3), words, max_length=4, grid=(4, 3), encoder_depth=1, decoder_depth=1
    )


#: What a page takes as given.
GIVEN = {
    "comparison.md": lambda: {},
    "export.md": lambda: {
        "captioner": captioner(),
        "images": np.random.rand(2, 8, 6, 3).astype("float32"),
        "model": keras_stt.models.image_classifier((32, 32, 3), 10, depth=1),
    },
    "masks.md": lambda: {},
    "questions.md": lambda: {},
    "quickstart.md": lambda: {},
    "README.md": lambda: {},
    "recipes.md": lambda: {},
}
IN_A_PROCESS = {"multi_head_attention.md": "jax"}


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")
@pytest.mark.filterwarnings("ignore:Layer .*does not have a `quantize:UserWarning")
@pytest.mark.filterwarnings("ignore:In the future `np.object`:FutureWarning")
@pytest.mark.parametrize("page", GIVEN)
def test_code_of_the_pages_runs(page, tmp_path, monkeypatch):
    path = ROOT / page if page == "README.md" else ROOT / "docs" / page
    backbone = keras.applications.MobileNetV2
    monkeypatch.setattr(
        keras.applications,
        "MobileNetV2",
        # No network: not the trained weights.
        lambda *args, **kwargs: backbone(*args, **{"weights": None, **kwargs}),
    )
    photographs = np.random.randint(0, 256, (20, 32, 32, 3), "uint8")
    labels = np.arange(20)[:, None] % 10
    monkeypatch.setattr(
        keras.datasets.cifar10, "load_data", lambda: 2 * ((photographs, labels),)
    )
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())
    monkeypatch.chdir(tmp_path)
    few_photographs(tmp_path / "photographs")
    namespace = {"keras": keras, "keras_stt": keras_stt, "np": np, **GIVEN[page]()}
    if page == "export.md":
        namespace["model"].export("model.xml", "openvino", verbose=False)
    found = blocks(path, "python")
    assert found
    for block in found:
        exec(re.sub(r"epochs=\d+", "epochs=1", block), namespace)
    if page == "README.md":
        # The last model is shown as one for images of any size.
        assert namespace["model"](np.zeros((1, 40, 48, 3))).shape == (1, 10)


@pytest.mark.parametrize("page", IN_A_PROCESS)
def test_code_for_several_devices_runs(page):
    devices = "--xla_force_host_platform_device_count=4"
    code = [f"import os; os.environ['XLA_FLAGS'] = '{devices}'"]
    code += blocks(ROOT / "docs" / page, "python")
    run_python("\n".join(code), backend=IN_A_PROCESS[page])


def test_no_page_has_code_that_is_not_run():
    assert {page.name for page in PAGES if blocks(page, "python")} == {
        *GIVEN,
        *IN_A_PROCESS,
    }


def commands(page):
    """The commands of a page, each in one line and without its comment."""
    for block in blocks(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and re.match(r"[A-Z_]+=", words[0]):
                words.pop(0)
            if words:
                yield words


COMMANDS = [
    pytest.param(words, id=f"{page.relative_to(ROOT)} {' '.join(words)}"[:100])
    for page in [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "tutorials/README.md"]
    for words in commands(page)
]
#: Programs that are not this project's.
OTHERS = {"export", "jupyter", "pre-commit", "py", "python3", "source"}


@pytest.mark.parametrize("words", COMMANDS)
def test_commands_of_the_pages_are_there(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mobilenet.keras").touch()
    program, *arguments = words
    if program == "keras-stt":
        # Dots are left for the reader to fill.
        while "..." in arguments:
            place = arguments.index("...")
            del arguments[place - 1 : place + 1]
        app.parse_args(arguments, exit_on_error=False, print_error=False)
    elif program == "make":
        targets = [word for word in arguments if "=" not in word]
        makefile = (ROOT / "Makefile").read_text()
        for target in targets:
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    elif program == "pip":
        extras = re.search(r"\[(.*)\]", arguments[-1])
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert extras
        assert set(extras[1].split(",")) <= set(project["optional-dependencies"])
    elif program == "python" and arguments[0] == "-c":
        compile(arguments[1], "the page", "exec")
    elif program in ("python", "pytest"):
        assert (ROOT / arguments[0]).exists()
    else:
        assert program in OTHERS or program.endswith("activate")
