"""What a training run shows while it runs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import keras


def note(text: str, wanted: bool) -> None:
    """Says something on the way, next to results and progress bars."""
    if wanted:
        print(text, file=sys.stderr, flush=True)


class RunProgress:
    """Shows how far a run is: a bar on a terminal, else a line per epoch."""

    def __init__(self, label: str, epochs: int, steps: int, wanted: bool) -> None:
        self._label, self._epochs, self._steps = label, epochs, steps
        self._bar_wanted = wanted and sys.stderr.isatty()
        self._lines_wanted = wanted and not sys.stderr.isatty()

    @contextmanager
    def running(self, finished: int) -> Iterator[list[keras.callbacks.Callback]]:
        """Shows the bar, if there is one; gives the callbacks that move it."""
        if not self._bar_wanted:
            if finished and self._lines_wanted:
                done = f"{self._label}: resuming after epoch {finished}/{self._epochs}"
                print(done, file=sys.stderr, flush=True)
            yield []
            return
        from tqdm import tqdm

        with tqdm(
            desc=self._label,
            total=self._epochs * self._steps,
            initial=finished * self._steps,
            unit="step",
        ) as bar:

            def move(batch: int, logs: dict[str, float]) -> None:
                shown = {name: f"{logs[name]:.3f}" for name in ("loss", "accuracy")}
                bar.set_postfix(shown, refresh=False)
                bar.update()

            yield [keras.callbacks.LambdaCallback(on_train_batch_end=move)]

    def epoch_done(self, epoch: int, numbers: dict[str, float], seconds: float) -> None:
        """Writes the line of an epoch, if there is no bar."""
        if self._lines_wanted:
            values = [f"{name} {value:.4f}" for name, value in numbers.items()]
            shown = ", ".join(values).replace("_", " ")
            line = f"{self._label}: epoch {epoch + 1}/{self._epochs}: {shown}"
            print(f"{line} ({seconds:.1f} s)", file=sys.stderr, flush=True)
