"""Makes the notebooks of the course from their sources.

A source, `src/NN_name.py` (jupytext's py:percent), holds a notebook with its solutions.
Cells are told apart by tags:

    solution   in the student's notebook without what `# <solution>` marks
    check      looks at the learner's answer, and raises an error if it is wrong
    wrong      a wrong answer, which the check must refuse; in no notebook

A source becomes `NN_name.ipynb`, executed, its solutions folded, and
`student/NN_name.ipynb`, not executed; `student/solutions/` is for who is stuck. None of
them is edited by hand. (The committed ones were executed on JAX with `DATASET=cifar10`,
so that photographs are seen where a reader has none.)

    python tutorials/build.py write [NN …]    makes notebooks; executes changed code
    python tutorials/build.py check [NN …]    fails where they differ from their sources
    python tutorials/build.py run [NN …] [--fast] [--record]    executes, writes nothing
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from notebooks import has, rehearsal, solutions, student, teacher
from PIL import Image

COURSE = Path(__file__).resolve().parent
SOURCES = sorted(COURSE.glob("src/*.py"))
TIMES = COURSE / "times.json"
MINUTES = {True: 1, False: 5}
"""What a notebook may take, in a rehearsal (fast) and in full."""

#: Traces of the machine or of a terminal, which a reader should not see.
DEBRIS = {
    "a path of this machine": re.compile(
        rf"/(home|root|tmp|Users|work)/|{re.escape(str(COURSE.parent))}"
    ),
    "a warning": re.compile(r"\w*Warning\b"),
    "a progress bar": re.compile("\r|\x08|━━|█"),
    "an error": re.compile("Traceback"),
}


def execute(notebook: NotebookNode, folder: Path, fast: bool) -> float:
    """Executes a notebook in place, in a folder, and says how many seconds it took."""
    os.environ["FAST"] = "1" if fast else ""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    start = time.perf_counter()
    client = NotebookClient(
        notebook,
        timeout=60 * 20,
        kernel_name="python3",
        # What libraries in C++ say goes to the terminal, and not into a cell.
        extra_arguments=["--IPKernelApp.capture_fd_output=False"],
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def published(notebook: NotebookNode) -> NotebookNode:
    """An executed notebook without what changes from run to run for no reason."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                data["image/png"] = smaller(data["image/png"])
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def smaller(png: str) -> str:
    """A PNG with a palette: a third of the size, and nobody sees the difference."""
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    raw = io.BytesIO()
    picture.quantize(256, dither=Image.Dither.NONE).save(raw, "png", optimize=True)
    return base64.b64encode(raw.getvalue()).decode()


def problems(notebook: NotebookNode) -> list[str]:
    """What a reader of an executed notebook should not see."""
    found = []
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        if cell.source.strip() and cell.execution_count is None:
            found.append(f"cell {number}: not executed")
        for output in cell.outputs:
            text = json.dumps(
                {k: v for k, v in output.items() if k != "data"}, ensure_ascii=False
            )
            for kind, data in output.get("data", {}).items():
                text += "" if kind.startswith("image/png") else str(data)
            if output.get("name") == "stderr":
                found.append(f"cell {number}: an error stream: {output['text'][:200]}")
            plain = text.replace("\\r", "\r")
            found += [
                f"cell {number}: {name}: {pattern.search(plain)[0]!r}"
                for name, pattern in DEBRIS.items()
                if pattern.search(plain)
            ]
    return found


def drift(path: Path) -> list[str]:
    """In what the notebooks of a source differ from it."""
    found = []
    for made, expected in (
        (COURSE / f"{path.stem}.ipynb", teacher(path)),
        (COURSE / "student" / f"{path.stem}.ipynb", student(path)),
    ):
        name = made.relative_to(COURSE)
        if not made.exists():
            found.append(f"{name}: missing")
            continue
        there = nbformat.read(made, as_version=4)
        if _contents(there) != _contents(expected):
            found.append(f"{name}: not what its source says")
        if made.parent == COURSE:
            found += [f"{name}: {problem}" for problem in problems(there)]
        elif any(cell.get("outputs") for cell in there.cells):
            found.append(f"{name}: has outputs")
    for name, text in solutions(path).items():
        there = COURSE / "student" / "solutions" / name
        if not there.exists() or there.read_text() != text:
            found.append(f"student/solutions/{name}: not what its source says")
    return found


def _contents(notebook: NotebookNode) -> list[tuple[str, str, dict]]:
    return [(c.cell_type, c.source, dict(c.metadata)) for c in notebook.cells]


def write(path: Path, anew: bool) -> list[str]:
    """Makes both notebooks of a source, and says what readers should not see.

    Where no code has changed, the outputs that are there are kept.
    """
    made = COURSE / f"{path.stem}.ipynb"
    notebook = teacher(path)
    if anew or not keep_outputs(notebook, made):
        print(f"{made.name} …", end=" ", flush=True)
        print(f"{execute(notebook, COURSE, fast=False):.0f} s", flush=True)
        notebook = published(notebook)
    nbformat.write(notebook, made)
    folder = COURSE / "student" / "solutions"
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(student(path), folder.parent / made.name)
    for name, text in solutions(path).items():
        (folder / name).write_text(text)
    return [f"{made.name}: {problem}" for problem in problems(notebook)]


def keep_outputs(notebook: NotebookNode, made: Path) -> bool:
    """Takes the outputs of an earlier execution, if it was one of the same code."""
    if not made.exists():
        return False
    old = [c for c in nbformat.read(made, as_version=4).cells if c.cell_type == "code"]
    new = [cell for cell in notebook.cells if cell.cell_type == "code"]
    # What a check says of the right answer does not depend on how it asks.
    before, after = (
        ["check" if has(cell, "check") else cell.source for cell in cells]
        for cells in (old, new)
    )
    if before != after:
        return False
    for cell, known in zip(new, old, strict=True):
        cell.outputs, cell.execution_count = known.outputs, known.execution_count
    return True


def run(path: Path, fast: bool) -> float:
    """Executes a source with its wrong answers, in the folder of the notebooks."""
    print(f"{path.stem} on {backend()} …", end=" ", flush=True)
    seconds = execute(rehearsal(path), COURSE, fast)
    late = " (too long)" if seconds > 60 * MINUTES[fast] else ""
    print(f"{seconds:.0f} s{late}", flush=True)
    return seconds


def record(seconds: dict[str, float]) -> None:
    """Keeps the measured times, by backend, with what they were measured on.

    The front page shows them.
    """
    from keras_stt.experiments.measures.environment import environment

    times = json.loads(TIMES.read_text()) if TIMES.exists() else {}
    known = times.get(backend(), {}).get("seconds", {})
    times[backend()] = {
        "command": f"KERAS_BACKEND={backend()} python tutorials/build.py run --record",
        **environment(),
        "seconds": known | {name: round(taken) for name, taken in seconds.items()},
    }
    TIMES.write_text(json.dumps(times, indent=1, sort_keys=True) + "\n")
    page = COURSE / "README.md"
    before, _, rest = page.read_text().partition("<!-- times -->\n")
    _, mark, after = rest.partition("<!-- /times -->")
    page.write_text(f"{before}<!-- times -->\n{times_table()}\n{mark}{after}")


def times_table() -> str:
    """The measured times as a table in Markdown, a row per notebook."""
    times = json.loads(TIMES.read_text())
    names = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
    known = [name for name in names if name in times]
    lines = [
        "| notebook | " + " | ".join(f"{names[name]} (s)" for name in known) + " |",
        "| :-- |" + " --: |" * len(known),
    ]
    for path in SOURCES:
        cells = [times[name]["seconds"].get(path.stem, "–") for name in known]
        lines.append(f"| {path.stem} | " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def backend() -> str:
    """The backend that the notebooks will run on."""
    return os.environ.setdefault("KERAS_BACKEND", "jax")


def main() -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("write", "check", "run"))
    parser.add_argument("numbers", nargs="*", metavar="NN", help="all by default")
    parser.add_argument("--fast", action="store_true", help="a rehearsal in seconds")
    parser.add_argument(
        "--anew", action="store_true", help="execute what is there, too"
    )
    parser.add_argument("--record", action="store_true", help="keep the times")
    options = parser.parse_intermixed_args()
    chosen = [
        path
        for path in SOURCES
        if not options.numbers or path.stem[:2] in options.numbers
    ]
    failed: list[str] = []
    seconds = {}
    for path in chosen:
        try:
            if options.command == "check":
                failed += drift(path)
            elif options.command == "write":
                failed += write(path, options.anew)
            else:
                seconds[path.stem] = run(path, options.fast)
        except CellExecutionError as error:
            failed.append(f"{path.name}:\n{error}")
    if options.record:
        record(seconds)
    print(*(failed or ["All right."]), sep="\n")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
