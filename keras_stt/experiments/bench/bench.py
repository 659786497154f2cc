"""The benchmark as a whole: grid after grid, in files that a later run resumes.

`results.json` (schema 1) is one object::

    schema, task    1, "bench"
    finished        true once every grid is measured
    command, backend, versions, device
                    as in the comparisons (`keras_stt.experiments.reports.results`)
    settings        every option, as in `keras_stt.experiments.bench.settings`
    limits          with `settings.limits`, {"multiply_adds_per_second",
                    "bytes_per_second"} of a large matrix product and a large copy
    rows            a list with a row for every mixer and grid, and for the floors

and a row has

    mixer, grid, batch, dtype
    forward_ms, training_ms     medians per step: of the layer's output for a batch; of
                                the output and the gradients for the input and all
                                weights. null where it could not be run
    forward_quartiles_ms, training_quartiles_ms
                                [25 %, 75 %] of the calls
    forward_calls, training_calls
                                how many calls were timed
    forward_form, training_form what was the fastest (see `compiled.py`)
    peak_bytes                  of the training step: results and temporary tensors,
                                without inputs and weights. As the compiler planned it
                                (JAX), else as measured. null for the floor, whose
                                products do not follow from one another
    multiply_adds               counted, forward, for one example
    parameters                  of the layer
    failed_forms                {form: first line of its error} of the forms that could
                                not be compiled or run; the others count. Older files
                                do not have it
    profile                     of the row that `settings.profile` names: the largest
                                items of a training step, [{"name", "ms"}, …], or null;
                                `profile_error` says why there are none
    error                       null, or why it could not be run

A row has a smaller batch than the others where its layer needs more memory than
`settings.memory`; 0 if it was left out for that.

Ratios of rows of one grid are of the same minutes; rows of two grids are not.
"""

from __future__ import annotations

import dataclasses
import gc
import importlib.util
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import keras

from keras_stt.experiments import files
from keras_stt.experiments.bench.compiled import check_forms
from keras_stt.experiments.bench.limits import measure_limits
from keras_stt.experiments.bench.measure import measure_grid
from keras_stt.experiments.bench.settings import BenchSettings
from keras_stt.experiments.files import check_folder
from keras_stt.experiments.measures.environment import environment
from keras_stt.experiments.reports.results import SCHEMA

#: What may differ between a benchmark and the one that it resumes.
_FREE = ("command", "finished", "limits", "rows")


class Bench:
    """A benchmark that is ready to run, or to be resumed.

    Args:
        settings: What is measured.
        folder: The output folder: new, empty, or of the same benchmark. Grids that it
            holds are not measured again.
        command: The command line, for the record.
        progress: Whether to show progress bars.

    Attributes:
        longest: The seconds that the longest grid took so far.

    Raises:
        UserError: If the folder holds something else. Nothing has been written then.
    """

    def __init__(
        self,
        settings: BenchSettings,
        folder: Path,
        command: str = "",
        progress: bool = True,
    ) -> None:
        check_forms(settings.forms or ())
        self.settings = settings
        self.folder = folder
        self.progress = progress
        self.longest = 0.0
        self._results: dict[str, Any] = json.loads(
            json.dumps(
                {
                    "schema": SCHEMA,
                    "task": "bench",
                    "finished": False,
                    "command": command,
                    **environment(),
                    "settings": dataclasses.asdict(settings),
                    "rows": [],
                }
            )
        )
        identity = {k: v for k, v in self._results.items() if k not in _FREE}
        check_folder(folder, identity)
        folder.mkdir(parents=True, exist_ok=True)
        files.write_json(folder / "experiment.json", identity)
        path = folder / "results.json"
        if path.exists():
            found = files.read_json(path)
            self._results |= {k: found[k] for k in ("limits", "rows") if k in found}

    def run(self, end: float = math.inf) -> dict[str, Any]:
        """Measures the grids that are missing, and writes the table and figures.

        Figures need Matplotlib. Where it is missing, the same command draws them later,
        from `results.json`, in an environment that has it.

        Args:
            end: No grid is begun that would end later if it took as long as the
                longest so far; in seconds of `time.monotonic`.

        Returns:
            The results, as in `results.json`.
        """
        from keras_stt.experiments.bench.table import markdown_table

        rows = self._results["rows"]
        done = {tuple(row["grid"]) for row in rows}
        rounds = self.settings.rounds
        if self.settings.limits and "limits" not in self._results:
            self._results["limits"] = measure_limits(self.settings.dtype)
        for number, (grid, batch) in enumerate(rounds, 1):
            if grid not in done:
                began = time.monotonic()
                if began + self.longest > end:
                    return self._results
                rows += measure_grid(self.settings, grid, batch, self.progress)
                self._write()
                self.longest = max(self.longest, time.monotonic() - began)
                if self.progress:
                    print(
                        f"[{number}/{len(rounds)}] {grid[0]}×{grid[1]}: measured "
                        f"({time.monotonic() - began:.0f} s)",
                        file=sys.stderr,
                    )
                # Free this grid's layers and tensors before the next is timed.
                keras.backend.clear_session()
                gc.collect()
        self._results["finished"] = True
        self._write()
        table = markdown_table(self._results)
        files.write_bytes(self.folder / "table.md", table.encode())
        if importlib.util.find_spec("matplotlib"):
            from keras_stt.experiments.bench.figures import write_figures

            write_figures(self._results, self.folder)
        return self._results

    def _write(self) -> None:
        files.write_json(self.folder / "results.json", self._results)
