"""Results for the tests of tables, figures and the report.

Their numbers are invented, of the size of a real comparison; that real ones have the
same form is tested with the comparison.
"""

import math
import random

from keras_stt.experiments.reports.results import (
    FGSM_STRENGTHS,
    NOISE_STRENGTHS,
    measures,
    summary,
)
from keras_stt.experiments.reports.tasks import ROBUSTNESS

# mixer: final accuracy, noise half-life, parameters, mega multiply-adds, step ms, MiB
SAMPLE = {
    "stt-dense": (0.671, 0.34, 182_410, 12.9, 118.0, 402),
    "stt-random": (0.648, 0.27, 165_002, 12.1, 101.0, 371),
    "stt-factorized-dense": (0.659, 0.31, 178_314, 12.8, 121.0, 409),
    "stt-factorized-random": (0.643, 0.26, 163_978, 12.1, 104.0, 372),
    "stt-mixture": (0.678, 0.33, 183_450, 13.0, 126.0, 415),
    "stt-mixture-dot": (0.668, 0.29, 198_794, 14.6, 149.0, 447),
    "mha": (0.606, 0.22, 215_178, 17.9, 236.0, 688),
    "axial-mha": (0.631, 0.25, 281_738, 19.2, 198.0, 540),
    "depthwise-conv": (0.683, 0.24, 145_034, 10.4, 88.0, 365),
    "none": (0.579, 0.2, 132_234, 9.6, 64.0, 318),
}


def sample_results(
    names=tuple(SAMPLE), seeds=(0, 1, 2), epochs=6, search=True, **settings
):
    """Realistic results of a finished comparison, the same in every call."""

    def draw(name):
        accuracy, life, parameters, mega, step, peak = SAMPLE.get(
            name, (0.62, 0.25, 150_000, 11.1, 111.0, 400)
        )
        dice = random.Random(name)
        finals = [accuracy + dice.gauss(0, 0.005) for _ in seeds]

        def per_seed(mean):
            return summary(mean + dice.gauss(0, 0.006) for _ in seeds)

        def times(mean):
            return summary(mean * dice.lognormvariate(0, 0.04) for _ in range(5))

        history = []
        for final in finals:
            rise = [1 - 0.62 * math.exp(-0.55 * epoch) for epoch in range(epochs)]
            level = [final * share + dice.gauss(0, 0.004) for share in rise]
            history.append(
                {
                    "loss": [2.55 - 2.3 * value for value in level],
                    "accuracy": [value - 0.015 for value in level],
                }
            )
        return {
            "learning_rate": 0.001,
            "history": history,
            "test_accuracy": summary(finals),
            **{
                f"accuracy_noise_{sigma:g}": per_seed(
                    0.1 + (accuracy - 0.1) * math.exp(-((0.6 * sigma / life) ** 2))
                )
                for sigma in NOISE_STRENGTHS
            },
            **{
                f"accuracy_fgsm_{step}_255": per_seed(
                    accuracy * math.exp(-0.045 * step / life)
                )
                for step in FGSM_STRENGTHS
            },
            "training_seconds": summary(step * 0.95 + dice.gauss(0, 6) for _ in seeds),
            "parameters": summary([parameters]),
            "multiply_adds": summary([mega * 1e6]),
            "mixer_parameters": summary([(parameters - 132_234) // 4]),
            "mixer_multiply_adds": summary([(mega - 9.6) * 2.5e5]),
            "training_step_ms": times(step),
            "inference_ms": times(step * 0.31),
            "peak_step_bytes": summary([peak * 2**20]),
        }

    rates = (0.0005, 0.001, 0.002)
    tried = {
        name: {
            "runs": [
                {
                    "learning_rate": rate,
                    "validation_accuracy": SAMPLE.get(name, (0.6,))[0]
                    - 0.03 * abs(math.log2(rate / best)),
                }
                for rate in rates
            ],
            "best": best,
        }
        for best, name in zip((0.001, 0.002) * len(names), names, strict=False)
    }
    return {
        "schema": 1,
        "task": "classify",
        "finished": True,
        "command": "keras-stt compare classify --dataset cifar10 "
        f"--mixers {' '.join(names)} --seeds {' '.join(map(str, seeds))} "
        "--learning-rate 0.0005 0.001 0.002 --output results",
        "backend": "tensorflow",
        "versions": {
            "keras_stt": "0.1.0",
            "keras": "3.15.1",
            "tensorflow": "2.21.0",
            "numpy": "2.4.6",
            "tensorflow_datasets": "4.9.10",
            "python": "3.11.7",
        },
        "device": {
            "kind": "cpu",
            "name": "AMD EPYC",
            "count": 2,
            "system": "Linux x86_64",
        },
        "dataset": {
            "name": "cifar10",
            "version": "3.0.2",
            "class_names": [f"class {number}" for number in range(10)],
            "train_images": 20000,
            "validation_images": 2000,
            "test_images": 10000,
            "image_shape": [32, 32, 3],
        },
        "settings": {
            "mixers": list(names),
            "seeds": list(seeds),
            "epochs": epochs,
            "train_images": 20000,
            "grid": [8, 8],
            "width": 64,
            "depth": 4,
            "num_heads": 4,
            "mlp_ratio": 2,
            "stem": "convolution",
            "batch_size": 128,
            "learning_rates": list(rates),
            "warmup": 0.1,
            "weight_decay": 0.05,
            "flip": True,
        }
        | settings,
        "search": tried if search else None,
        "mixers": {name: draw(name) for name in names},
    }


def partial_results():
    """Results of a comparison that was stopped: whole, short and empty entries."""
    results = sample_results()
    results["finished"] = False
    entries = results["mixers"]
    for name in ("none", "depthwise-conv"):
        del entries[name]
    for name in measures(results, "accuracy", "noise", "fgsm"):
        entries["mha"][name.name] = summary(entries["mha"][name.name]["runs"][:1])
    entries["mha"]["history"] = entries["mha"]["history"][:2]
    for series in entries["mha"]["history"][1].values():
        del series[3:]
    entries["mha"]["history"][0]["loss"][0] = None
    entries["axial-mha"] = {
        "learning_rate": 0.001,
        "history": [{"loss": [1.9], "accuracy": [0.3]}],
    }
    for name in ("training_step_ms", "inference_ms", "peak_step_bytes"):
        for entry in entries.values():
            entry.pop(name, None)
    entries["stt-dense"]["peak_step_bytes"] = None
    return results


def with_robustness(results):
    """The same with invented numbers of `--robustness full`; `mha` fits no other size.

    Each disturbance of a group costs a tenth of what the one before left.
    """
    for name, entry in results["mixers"].items():
        clean = entry["test_accuracy"]["runs"]
        for group in ROBUSTNESS:
            for rank, measure in enumerate(measures(results, group), 1):
                kept = 1.0 if group == "subset" else 0.9**rank
                runs = summary(kept * run for run in clean)
                tied = name == "mha" and group == "resolution"
                entry[measure.name] = None if tied else runs
        entry["calibration_error"] = summary(0.1 * run for run in clean)
    return results
