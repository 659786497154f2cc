import json
import shutil

import keras
import numpy as np
import pytest
from samples import sample_results

from keras_stt.experiments.compare import classify, comparison
from keras_stt.experiments.compare.classify import ClassifyComparison
from keras_stt.experiments.compare.settings import ClassifySettings
from keras_stt.experiments.data.classification import Images
from keras_stt.experiments.reports.results import TASKS
from keras_stt.experiments.reports.tasks import ROBUSTNESS
from keras_stt.experiments.robustness import suite
from keras_stt.models import image_classifier

SMALL = ClassifySettings(
    dataset="scenes",
    mixers=("stt-random", "none"),
    seeds=(0, 1),
    train_images=48,
    validation_images=16,
    grid=(4, 4),
    width=8,
    depth=1,
    num_heads=2,
    epochs=2,
    batch_size=16,
)


def changed(**values):
    return ClassifySettings(**{**vars(SMALL), **values})


def compared(settings, folder, scenes_dir):
    return ClassifyComparison(settings, folder, scenes_dir, progress=False).run()


@pytest.fixture(autouse=True)
def _few_rounds(monkeypatch):
    monkeypatch.setattr(comparison, "TIMING_ROUNDS", 2)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, scenes_dir):
    """A finished comparison: some seconds, since every model compiles."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "TIMING_ROUNDS", 2)
        return folder, compared(SMALL, folder, scenes_dir)


def test_results_hold_every_measure_of_every_mixer(finished):
    folder, results = finished
    assert json.loads((folder / "results.json").read_text()) == results
    assert results["finished"] is True
    assert list(results["mixers"]) == list(SMALL.mixers)
    for entry in results["mixers"].values():
        for name, measure in TASKS["classify"].measures.items():
            if measure.group in ROBUSTNESS:
                assert name not in entry
                continue
            found = entry[name]
            if found is None:
                assert name == "peak_step_bytes"
                continue
            assert set(found) == {"mean", "std", "median", "runs"}
            if measure.is_quality:
                assert len(found["runs"]) == len(SMALL.seeds)
                assert all(0 <= run <= 1 for run in found["runs"])
        assert [len(history["loss"]) for history in entry["history"]] == [2, 2]


def test_samples_for_tables_and_figures_have_the_form_of_results(finished):
    _, results = finished
    samples = sample_results(("stt-random", "none"), seeds=(0, 1), epochs=2)

    def form(value, path=""):
        """The paths of all keys."""
        if isinstance(value, list):
            return set().union(*(form(item, path + "[]") for item in value))
        if not isinstance(value, dict):
            return set()
        below = {f"{path}/{key}": item for key, item in value.items()}
        return set(below).union(*(form(item, path) for path, item in below.items()))

    free = ("/versions/", "/settings/", "/search/")
    sample, real = (
        {path for path in form(content) if not path.startswith(free)}
        for content in (samples, results)
    )
    # A platform may not tell the peak of memory.
    assert {p for p in sample ^ real if "peak_step_bytes/" not in p} == set()


def test_the_trained_models_are_there(finished, scenes_dir):
    folder, results = finished
    data = ClassifyComparison(SMALL, folder, scenes_dir, progress=False).data
    for mixer in SMALL.mixers:
        path = folder / "runs" / mixer / "seed-1" / "model.keras"
        model = keras.saving.load_model(path)
        logits = model.predict(data.test.images, verbose=0)
        accuracy = np.mean(logits.argmax(axis=-1) == data.test.labels)
        expected = results["mixers"][mixer]["test_accuracy"]["runs"][1]
        assert accuracy == pytest.approx(expected)


def test_pictures_and_report_are_written(finished):
    folder, _ = finished
    assert "stt-random" in (folder / "report.html").read_text()
    assert list(folder.glob("*.png"))


def test_it_says_what_it_does_and_what_is_doubtful(
    finished, tmp_path, scenes_dir, capsys
):
    folder, results = finished
    settings = changed(seeds=(0, 1, 2), mixers=("none",))
    again = shutil.copytree(folder, tmp_path / "again")
    ClassifyComparison(settings, again, scenes_dir, progress=True).run()
    said = capsys.readouterr().err
    assert "Resuming: 2 of 3 runs are finished." in said
    steps = "Warning: 48 training images are only 3 steps of --batch-size 16 per epoch."
    assert steps in said
    assert "Warning: on 32 test images" in said
    assert "changes an accuracy by 3.1 %" in said
    known = results["mixers"]["none"]["test_accuracy"]["runs"]
    found = json.loads((again / "results.json").read_text())
    *_, new = found["mixers"]["none"]["test_accuracy"]["runs"]
    assert found["mixers"]["none"]["test_accuracy"]["runs"] == [*known, new]
    assert f"none, seed 2: test accuracy {100 * new:.1f} %" in said
    # The times of what is there count: nothing is timed for another seed.
    assert "Timing" not in said
    assert "stt-random" not in said


def test_seeds_differ_and_repeat(finished, tmp_path, scenes_dir):
    _, results = finished
    first, second = results["mixers"]["stt-random"]["history"]
    assert first != second
    again = compared(changed(mixers=("stt-random",), seeds=(1,)), tmp_path, scenes_dir)
    assert again["mixers"]["stt-random"]["history"] == [second]


def test_killed_and_started_again_ends_the_same(
    finished, tmp_path, scenes_dir, monkeypatch
):
    _, undisturbed = finished
    fit, calls = keras.Model.fit, []

    def killed(self, *args, **kwargs):
        calls.append(self)
        if len(calls) == 4:  # the second epoch of the second run
            raise KeyboardInterrupt
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(keras.Model, "fit", killed)
    with pytest.raises(KeyboardInterrupt):
        compared(SMALL, tmp_path, scenes_dir)
    unfinished = json.loads((tmp_path / "results.json").read_text())
    assert unfinished["finished"] is False
    results = compared(SMALL, tmp_path, scenes_dir)
    # 2 mixers × 2 seeds × 2 epochs, and the one epoch that died.
    assert len(calls) == 8 + 1
    timed = {"training_seconds", "training_step_ms", "inference_ms", "peak_step_bytes"}
    for mixer, entry in undisturbed["mixers"].items():
        for name in set(entry) - timed:
            assert results["mixers"][mixer][name] == entry[name], (mixer, name)


@pytest.mark.backend_free
def test_further_seeds_add_to_a_folder(finished, tmp_path, scenes_dir, monkeypatch):
    _, both = finished
    compared(changed(seeds=(0,)), tmp_path, scenes_dir)
    trained = []
    train = comparison.train
    monkeypatch.setattr(
        comparison,
        "train",
        lambda *args, **kwargs: (
            trained.append(kwargs["seed"]) or train(*args, **kwargs)
        ),
    )
    results = compared(SMALL, tmp_path, scenes_dir)
    assert trained == [1, 1]
    for mixer in SMALL.mixers:
        for name in ("test_accuracy", "accuracy_noise_0.1", "accuracy_fgsm_8_255"):
            assert results["mixers"][mixer][name] == both["mixers"][mixer][name]


def test_finished_results_stay_finished(finished, scenes_dir, monkeypatch):
    """Started again, it trains nothing, and its file never looks unfinished."""
    folder, results = finished
    written, write = [], comparison.files.write_json

    def watched(path, content):
        written.append((path.name, content.get("finished")))
        write(path, content)

    monkeypatch.setattr(comparison.files, "write_json", watched)
    monkeypatch.setattr(comparison, "train", lambda *_, **__: pytest.fail("trained"))
    assert compared(SMALL, folder, scenes_dir) == results
    assert [done for name, done in written if name == "results.json"] == [True]


@pytest.mark.backend_free
def test_robustness_is_added_to_a_finished_comparison_and_resumes(
    finished, tmp_path, scenes_dir, monkeypatch
):
    folder = shutil.copytree(finished[0], tmp_path / "copy")
    calls = []

    def corrupted(data, name, folder):
        calls.append((name, folder))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return [data, Images(data.images, (data.labels + 1) % 2)]

    monkeypatch.setattr(suite, "corrupted", corrupted)
    # The attacks have tests of their own, and take long.
    for attack in ("pgd_accuracy", "square_accuracy", "universal_accuracy"):
        monkeypatch.setattr(suite, attack, lambda *_, **__: 0.25)
    monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: pytest.fail("trained"))
    settings = changed(robustness="full")
    with pytest.raises(KeyboardInterrupt):
        compared(settings, folder, scenes_dir)
    results = compared(settings, folder, scenes_dir)
    # Fifteen for each of four runs, and the one that was interrupted.
    assert len(calls) == 15 * 4 + 1
    assert {path for _, path in calls} == {folder / "corrupted"}
    for entry in results["mixers"].values():
        assert set(suite.NAMES) <= set(entry)
        # Of two classes, the answers are right for the one half or the other.
        assert entry["accuracy_fog"]["runs"] == [0.5, 0.5]
        assert entry["accuracy_pgd_1_255"]["runs"] == [0.25, 0.25]
        clean = entry["test_accuracy"]["runs"]
        assert entry["accuracy_subset"]["runs"] == clean
        # A grid of 4×4 is at 1.25 and 1.5 one of 5×5 and 6×6, at 0.875 none.
        assert entry["accuracy_resolution_0.875"] is None
        assert all(0 <= run <= 1 for run in entry["accuracy_resolution_1.5"]["runs"])
    assert (folder / "corruptions.png").exists()


@pytest.mark.backend_free
def test_search_takes_the_best_validation_accuracy(tmp_path, scenes_dir, monkeypatch):
    settings = changed(
        seeds=(0,), learning_rates=(1e-3, 1e-2), search_epochs=1, mixers=("none",)
    )
    validation, train = [], comparison.train

    def watched(build, data, recipe, **kwargs):
        run = train(build, data, recipe, **kwargs)
        assert len(data) == 48
        if kwargs.get("validation") is not None:
            assert recipe.epochs == 1
            assert kwargs["seed"] not in settings.seeds
            validation.append(run.history["validation_accuracy"][-1])
            # Make the second rate the better one, whatever the training gave.
            run.history["validation_accuracy"][-1] += 2 * len(validation)
        else:
            assert recipe.learning_rate == 1e-2
        return run

    monkeypatch.setattr(comparison, "train", watched)
    results = compared(settings, tmp_path, scenes_dir)
    assert len(validation) == 2
    assert results["search"]["none"]["best"] == 1e-2
    assert results["mixers"]["none"]["learning_rate"] == 1e-2
    tried = results["search"]["none"]["runs"]
    assert [run["learning_rate"] for run in tried] == [1e-3, 1e-2]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mixers": ("stt-dense", "magic")}, "Received: magic"),
        ({"mixers": ()}, "Received: none"),
        ({"mixers": ("none", "none")}, "twice"),
        ({"seeds": (0, 0)}, "twice"),
        ({"seeds": (-1,)}, "at least 0"),
        ({"learning_rates": (1e-3, 1e-2), "validation_images": 0}, "validation"),
        ({"learning_rates": (0.0,)}, "learning_rate"),
        ({"epochs": 0}, "epochs"),
        ({"search_epochs": 2}, "search_epochs"),
        (
            {
                "learning_rates": (1e-3, 1e-2),
                "validation_images": 8,
                "search_epochs": 0,
            },
            "epochs",
        ),
    ],
)
def test_settings_that_do_not_fit(values, message):
    with pytest.raises(ValueError, match=message):
        changed(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"grid": (5, 4)}, "multiples of the grid"),
        ({"num_heads": 3}, "num_heads=3"),
        ({"batch_size": 49}, "batch_size"),
        ({"train_images": 10**6}, "train_images"),
        ({"dataset": "no_such_data_set"}, "no_such_data_set"),
    ],
)
def test_nothing_is_written_where_something_does_not_fit(
    values, message, tmp_path, scenes_dir
):
    with pytest.raises(ValueError, match=message):
        ClassifyComparison(
            changed(**values), tmp_path / "new", scenes_dir, progress=False
        )
    assert not (tmp_path / "new").exists()


def test_folder_of_another_comparison_is_refused(finished, scenes_dir):
    folder, _ = finished
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with pytest.raises(ValueError, match=r"width=16.*width=8"):
        ClassifyComparison(changed(width=16), folder, scenes_dir, progress=False)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_other_images_are_refused(finished, scenes_dir, monkeypatch):
    """As after another version of the data set, of the same settings."""
    folder, _ = finished
    load = classify.load_classification

    def others(*args, **kwargs):
        data = load(*args, **kwargs)
        data.test.images[0, 0, 0] ^= 1
        return data

    monkeypatch.setattr(classify, "load_classification", others)
    with pytest.raises(ValueError, match=r"with the images scenes 1\.1\.0: .*Received"):
        ClassifyComparison(SMALL, folder, scenes_dir, progress=False)


@pytest.mark.backend_free
def test_costs_of_all_mixers_are_of_one_occasion(tmp_path, scenes_dir):
    """Further mixers are measured beside those that are there, which stay."""
    one = changed(seeds=(0,), epochs=1, mixers=("none",))
    both = changed(seeds=(0,), epochs=1, mixers=("stt-random",))
    compared(one, tmp_path, scenes_dir)
    first = json.loads((tmp_path / "costs.json").read_text())
    compared(both, tmp_path, scenes_dir)
    second = json.loads((tmp_path / "costs.json").read_text())
    assert list(second) == ["none", "stt-random"]
    assert second["none"]["inference_ms"] != first["none"]["inference_ms"]
    compared(one, tmp_path, scenes_dir)
    assert json.loads((tmp_path / "costs.json").read_text()) == second


def test_foreign_folders_are_refused(tmp_path, scenes_dir):
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(ValueError, match="something else"):
        ClassifyComparison(SMALL, tmp_path, scenes_dir, progress=False)
    with pytest.raises(ValueError, match="the file"):
        ClassifyComparison(SMALL, tmp_path / "letter.txt", scenes_dir, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_sizes_are_those_of_the_model(finished):
    _, results = finished
    entry = results["mixers"]["none"]
    # One dense layer 8 → 8 on 4×4 positions.
    assert entry["mixer_parameters"]["runs"] == [8 * 8 + 8]
    assert entry["mixer_multiply_adds"]["runs"] == [16 * 8 * 8]
    model = image_classifier((32, 32, 3), 2, "none", (4, 4), 8, 1, 2)
    parameters = sum(int(np.prod(w.shape)) for w in model.weights)
    assert entry["parameters"]["runs"] == [parameters]
