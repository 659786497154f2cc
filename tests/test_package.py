"""The package as a whole: names, configs, imports, and the docstrings' examples."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from support import run_python

import keras_stt

PACKAGES = [
    keras_stt.ops,
    keras_stt.synthesizers,
    keras_stt.layers,
    keras_stt.mixers,
    keras_stt.models,
    keras_stt.inspection,
    keras_stt.surgery,
]
PUBLIC = [
    getattr(package, name)
    for package in PACKAGES
    for name in package.__all__
    if callable(getattr(package, name))
]
LAYERS = [
    item
    for item in PUBLIC
    if inspect.isclass(item)
    and issubclass(item, keras.layers.Layer)
    and not issubclass(item, keras.Model)
]
ARGUMENTS = {
    "Mixture": {"synthesizers": ["random", "dense"]},
    "SynthesizedAttention": {"synthesizer": "dense"},
}
NEEDS_HEADS = {
    "STT",
    "KerasAttention",
    "SelfAttention",
    "AxialAttention",
    "CrossAttention",
    "STTCrossAttention",
    "GridAttention",
    "LinformerAttention",
}


def name_of(item):
    return getattr(item, "__name__", str(item))


def instance_of(layer_class):
    arguments = dict(ARGUMENTS.get(layer_class.__name__, {}))
    if layer_class.__name__ in NEEDS_HEADS:
        arguments["num_heads"] = 2
    return layer_class(**arguments)


def constructor_arguments(layer_class):
    """The names that the constructor takes, through `**kwargs` to Keras's layer."""
    names = {"name", "trainable", "dtype"}
    for base in layer_class.__mro__:
        if base is keras.layers.Layer:
            break
        if "__init__" in vars(base):
            names |= set(inspect.signature(base.__init__).parameters)
    return names - {"self", "args", "kwargs"}


@pytest.mark.parametrize("layer_class", LAYERS, ids=name_of)
def test_the_config_is_the_constructors_arguments(layer_class):
    config = instance_of(layer_class).get_config()
    assert set(config) == constructor_arguments(layer_class)


@pytest.mark.parametrize("layer_class", LAYERS, ids=name_of)
def test_a_layer_of_the_config_has_the_config(layer_class):
    layer = instance_of(layer_class)
    copy = layer_class.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()


@pytest.mark.parametrize("layer_class", LAYERS, ids=name_of)
def test_every_argument_has_an_attribute(layer_class):
    # These two mean something else on a Keras layer (see STT).
    private = {"output_shape", "activity_regularizer"}
    layer = instance_of(layer_class)
    for name in constructor_arguments(layer_class) - {"dtype"}:
        assert hasattr(layer, f"_{name}" if name in private else name), name


@pytest.mark.parametrize("layer_class", LAYERS, ids=name_of)
def test_every_public_layer_is_registered(layer_class):
    registered = keras.saving.get_registered_name(layer_class)
    assert registered == f"keras_stt>{layer_class.__name__}"
    assert keras.saving.get_registered_object(registered) is layer_class


@pytest.mark.parametrize(
    ("owner", "make"),
    [
        ("keras_stt.layers.stt", lambda: keras_stt.layers.STT(2)),
        ("keras_stt.mixers.pooling", lambda: keras_stt.mixers.Pooling()),
    ],
)
def test_a_saved_model_loads_after_a_class_has_moved(
    owner, make, tmp_path, monkeypatch
):
    layer, x = make(), np.random.rand(2, 3, 5, 8)
    model = keras.Sequential([keras.Input((3, 5, 8)), layer])
    expected = plain(model(x))
    model.save(tmp_path / "model.keras")
    # As a later version would have it: the module is gone, the class is elsewhere.
    monkeypatch.setattr(type(layer), "__module__", "keras_stt.elsewhere")
    monkeypatch.setitem(sys.modules, owner, None)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(plain(loaded(x)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("item", PUBLIC, ids=name_of)
def test_every_argument_is_documented(item):
    documentation = inspect.getdoc(item)
    if "\n" not in documentation:
        return  # one line that says it all
    for name in set(inspect.signature(item).parameters) - {"args", "kwargs"}:
        assert f"{name}:" in documentation, name


@pytest.mark.parametrize("package", PACKAGES, ids=name_of)
def test_a_package_exports_all_that_it_imports(package):
    names = {
        name
        for name, value in vars(package).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert set(package.__all__) == names - {"exported"}


def test_the_package_exports_its_packages():
    packages = {package.__name__.rpartition(".")[2] for package in PACKAGES}
    assert packages | {"__version__"} == set(keras_stt.__all__)


def test_the_import_brings_in_nothing_but_the_package():
    # Seconds: another interpreter imports the backend. (Keras itself brings in others.)
    code = """if True:
        import sys, keras
        before = set(sys.modules)
        import keras_stt
        print(*{name.partition(".")[0] for name in set(sys.modules) - before})
    """
    added = set(run_python(code, backend=keras.backend.backend()).split())
    assert added <= {"keras_stt", *sys.stdlib_module_names}


def imports_of(path):
    """The full names of what a file imports, in functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


#: The packages, each with the packages that it may use, but for the shared modules.
LIBRARY = ["ops", "synthesizers", "layers", "mixers", "models", "inspection", "surgery"]
EXPERIMENTS = (
    *("data", "measures", "training", "reports", "robustness", "bench", "compare"),
)
MAY_USE = {
    **{package: LIBRARY[:place] for place, package in enumerate(LIBRARY)},
    "datasets": (),
    **{
        f"experiments.{package}": (
            *LIBRARY,
            "datasets",
            *(f"experiments.{below}" for below in EXPERIMENTS[:place]),
        )
        for place, package in enumerate(EXPERIMENTS)
    },
    "cli": ("mixers", *(f"experiments.{package}" for package in EXPERIMENTS)),
}
SHARED = (
    "arguments",
    "backend",
    "composite",
    "export",
    "portable",
    "typing",
    "untracked",
    *("experiments.errors", "experiments.files", "experiments.options"),
)
PACKAGE = Path(keras_stt.__path__[0])


def package_of(module):
    """The package of a module of this package, by its full name; "" for shared ones."""
    parts = module.split(".")[1:]
    package = (
        ".".join(parts[:2]) if parts[:1] == ["experiments"] else "".join(parts[:1])
    )
    return "" if package in (*SHARED, "__version__") else package


def test_every_folder_is_a_package():
    folders = {
        ".".join(path.parent.relative_to(PACKAGE).parts)
        for path in PACKAGE.rglob("*.py")
    }
    assert folders - {"", "experiments"} == set(MAY_USE)


@pytest.mark.parametrize("package", MAY_USE)
def test_imports_flow_one_way(package):
    for path in (PACKAGE / package.replace(".", "/")).glob("*.py"):
        for name in imports_of(path):
            if name.partition(".")[0] == "keras_stt":
                assert package_of(name) in (package, "", *MAY_USE[package]), (
                    path.name,
                    name,
                )


#: What shared modules use beyond one another: the names of the mixers, for options.
OF_SHARED = {"experiments.options": "mixers"}


@pytest.mark.parametrize("module", SHARED)
def test_shared_modules_use_no_package(module):
    for name in imports_of(PACKAGE / f"{module.replace('.', '/')}.py"):
        if name.partition(".")[0] == "keras_stt":
            assert package_of(name) in ("", OF_SHARED.get(module)), name


@pytest.mark.parametrize("package", MAY_USE)
def test_packages_use_only_what_others_export(package):
    for path in (PACKAGE / package.replace(".", "/")).glob("*.py"):
        for name in imports_of(path):
            other = package_of(name)
            if name.partition(".")[0] != "keras_stt" or other in (package, ""):
                continue
            module, _, item = name.rpartition(".")
            assert not item.startswith("_"), (path.name, name)
            if other in LIBRARY:
                exported = sys.modules[f"keras_stt.{other}"].__all__
                assert name == f"keras_stt.{other}" or item in exported, (path, name)
                assert module in ("keras_stt", f"keras_stt.{other}"), (path, name)


@pytest.mark.parametrize("package", LIBRARY)
def test_the_library_needs_keras_and_numpy_alone(package):
    for path in (PACKAGE / package).glob("*.py"):
        for name in imports_of(path):
            top = name.partition(".")[0]
            assert not name.startswith("keras.src"), path.name
            allowed = {"keras_stt", "keras", "numpy", *sys.stdlib_module_names}
            if package == "inspection":  # when a figure is drawn
                allowed.add("matplotlib")
            assert top in allowed, (path.name, name)


def documented():
    """Everything in the library's packages that has a docstring of its own."""
    found = {}
    for package in PACKAGES:
        for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(info.name)
            for name, item in vars(module).items():
                if getattr(item, "__module__", None) == info.name and item.__doc__:
                    found[f"{info.name}.{name}"] = item.__doc__
    return found


def plain(value):
    """A value without what the backends add to it: tensors and shapes as NumPy's."""
    if keras.ops.is_tensor(value):
        return keras.ops.convert_to_numpy(value)
    if isinstance(value, (tuple, list)) or type(value).__name__ == "TensorShape":
        return tuple(plain(item) for item in value)
    return value


def check_example(source, want, namespace):
    """Runs one example; compares what it gives with what is promised, by value."""
    if not want:
        exec(source, namespace)
        return
    actual = plain(eval(source, namespace))
    expected = plain(eval(want, {"array": np.array}))
    assert type(actual) is type(expected)
    if isinstance(expected, np.ndarray):
        np.testing.assert_allclose(actual, expected, rtol=1e-6)
    else:
        assert actual == expected


EXAMPLES = {
    name: inspect.cleandoc(text)
    for name, text in documented().items()
    if ">>>" in text or "```python" in text
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_of_docstrings(name):
    docstring = EXAMPLES[name]
    namespace = {"np": np, "keras": keras, "keras_stt": keras_stt}
    examples = doctest.DocTestParser().get_examples(docstring)
    blocks = [part.split("```")[0] for part in docstring.split("```python\n")[1:]]
    for example in examples:
        check_example(example.source, example.want, namespace)
    for block in blocks:
        exec(block, dict(namespace))


def test_there_are_examples():
    assert len(EXAMPLES) >= 7
    assert "keras_stt.layers.stt.STT" in EXAMPLES
    assert "keras_stt.synthesizers.synthesizer.Synthesizer" in EXAMPLES
