"""The state of a training run between two epochs, and the file that it resumes from."""

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_stt.experiments import files
from keras_stt.experiments.errors import UserError

STATE_FILE = "state.npz"
"""Name of the file that holds the state of a run, in the run's folder."""
# What NumPy and JSON raise for files that are torn or something else.
_UNREADABLE = (
    *(AttributeError, EOFError, KeyError, OSError, TypeError, ValueError),
    *(zipfile.BadZipFile, zlib.error),
)

History = dict[str, list[float]]


class RunState:
    """All state of a run between two epochs, and its file."""

    def __init__(
        self, model: keras.Model, path: Path, identity: dict[str, Any]
    ) -> None:
        self._variables = [*model.variables, *model.optimizer.variables]
        self._path = path
        # Names count up with every model of a process; the shapes are what matters.
        shapes = [[list(v.shape), str(v.dtype)] for v in self._variables]
        self._identity = json.loads(json.dumps({**identity, "variables": shapes}))
        self.history: History = {}
        self.seconds = 0.0

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return len(self.history.get("loss", ()))

    def load(self) -> None:
        """Takes over the state in the file, if there is one."""
        if not self._path.exists():
            return
        try:
            # NumPy would leave a damaged file open that it opened itself.
            with open(self._path, "rb") as raw, np.load(raw) as file:
                meta = json.loads(str(file["run"]))
                identity, history = meta["identity"], meta["history"]
                seconds = float(meta["seconds"])
                values = [file[f"variable_{i}"] for i in range(len(file.files) - 1)]
        except _UNREADABLE as error:
            raise UserError(
                "The state of a training run must be a file that this function wrote; "
                "remove it to train again. Received: a damaged or foreign file "
                f"{self._path} ({error})"
            ) from error
        for key, expected in self._identity.items():
            if identity.get(key) != expected:
                shown = "" if key == "variables" else f" {identity.get(key)}"
                raise UserError(
                    "The folder of a training run must be new or hold the same run"
                    f"{'' if key == 'variables' else f', with {key} {expected}'}. "
                    f"Received: {self._path} of a run with other {key}{shown}"
                )
        for variable, value in zip(self._variables, values, strict=True):
            variable.assign(value)
        self.history, self.seconds = history, seconds

    def commit(self, numbers: dict[str, float], seconds: float) -> None:
        """Adds a finished epoch and writes everything: all of it or nothing."""
        for name, value in numbers.items():
            self.history.setdefault(name, []).append(value)
        self.seconds += seconds
        meta = {"identity": self._identity, "history": self.history}
        run = json.dumps({**meta, "seconds": self.seconds})
        arrays = {
            f"variable_{index}": keras.ops.convert_to_numpy(variable.value)
            for index, variable in enumerate(self._variables)
        }
        files.write_arrays(self._path, run=np.array(run), **arrays)
