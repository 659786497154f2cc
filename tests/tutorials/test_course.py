"""The notebooks of the course are what their sources say, and their checks can fail."""

import importlib
import re
from pathlib import Path

import nbformat
import notebooks
import pytest

ROOT = Path(__file__).parents[2]
COURSE = ROOT / "tutorials"
SOURCES = sorted(COURSE.glob("src/*.py"))

pytestmark = pytest.mark.backend_free


@pytest.fixture(scope="module")
def build():
    return importlib.import_module("build")


@pytest.fixture
def course(build, tmp_path, monkeypatch):
    """A course of one tiny notebook in a folder of its own."""
    (tmp_path / "src").mkdir()
    monkeypatch.setattr(build, "COURSE", tmp_path)
    return tmp_path


TINY = """# %% [markdown]
# # Twice

# %%
number = 4

# %% tags=["solution"]
def twice(x):
    # <solution>
    y = 2 * x
    return y
    # </solution>

half = number / 2  # <solution>

# %% tags=["wrong"]
def twice(x):
    return x**2

half = 2

# %% tags=["check"]
assert twice(3) == 6, "twice 3 is 6"
assert half == 2
print("Right.")
"""


SOLUTION = TINY[TINY.index("def twice") : TINY.index('# %% tags=["wrong"]')].strip()


def write(folder, text=TINY):
    path = folder / "src" / "01_twice.py"
    path.write_text(text)
    return path


def code(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def test_solutions_are_left_out_for_students_and_wrong_answers_for_all(build, course):
    path = write(course)
    solved, gaps = code(build.teacher(path))[1], code(build.student(path))[1]
    assert "y = 2 * x" in solved
    assert "half = number / 2" in solved
    assert "<solution>" not in solved
    assert "y = 2 * x" not in gaps
    assert gaps.startswith("def twice(x):\n    ...")
    assert "solutions/01_1.py" in gaps
    assert build.solutions(path) == {"01_1.py": f"{notebooks.solved(SOLUTION)}\n"}
    for notebook in (build.teacher(path), build.student(path)):
        assert len(code(notebook)) == 3
        assert "x**2" not in "".join(code(notebook))


def test_a_solution_without_marks_is_refused(build):
    with pytest.raises(ValueError, match="must mark what is left out"):
        notebooks.unsolved("answer = 42")


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        ('tags=["wrong"]', "without a wrong answer"),
        ('tags=["check"]', "without a check"),
    ],
)
def test_exercises_need_wrong_answers_and_checks(build, course, left_out, message):
    start = TINY.index(f"# %% {left_out}")
    end = TINY.find("# %%", start + 1)
    text = TINY[:start] + (TINY[end:] if end > 0 else "")
    with pytest.raises(ValueError, match=message):
        build.rehearsal(write(course, text))


def test_the_rehearsal_passes_where_checks_do_their_duty(build, course):
    build.execute(build.rehearsal(write(course)), course, fast=True)


@pytest.mark.parametrize(
    "check",
    [
        'assert half == 2\nprint("Right.")',  # the wrong answer passes
        "twice(3)\nassert half == 2",  # so does it, and the gap raises
        "assert twice(0) == 0",  # zero is its own square
    ],
)
def test_the_rehearsal_fails_where_a_check_lets_a_wrong_answer_pass(
    build, course, check
):
    text = TINY[: TINY.index("assert twice")] + check
    with pytest.raises(build.CellExecutionError, match="wrong answer passes"):
        build.execute(build.rehearsal(write(course, text)), course, fast=True)


def test_drift_is_found(build, course):
    path = write(course)
    assert [problem.split(":")[0] for problem in build.drift(path)] == [
        "01_twice.ipynb",
        "student/01_twice.ipynb",
        "student/solutions/01_1.py",
    ]
    assert build.write(path, anew=False) == []
    assert build.drift(path) == []
    made = course / "01_twice.ipynb"
    made.write_text(made.read_text().replace("number = 4", "number = 5"))
    (problem,) = build.drift(path)
    assert problem.startswith("01_twice.ipynb:")
    write(course, TINY.replace("# # Twice", "# # Double"))
    assert len(build.drift(path)) == 2


def test_outputs_are_kept_while_the_code_is_the_same(build, course):
    path = write(course)
    build.write(path, anew=False)
    made = course / "01_twice.ipynb"
    made.write_text(made.read_text().replace("Right.\\n", "Kept.\\n"))
    write(course, TINY.replace("# # Twice", "# # Double"))
    build.write(path, anew=False)
    assert "Kept." in made.read_text()
    write(course, TINY.replace("number = 4", "number = 4.0"))
    build.write(path, anew=False)
    assert "Kept." not in made.read_text()


@pytest.mark.parametrize(
    ("output", "name"),
    [
        ("saved in /home/me/model", "a path of this machine"),
        ("UserWarning: careful", "a warning"),
        ("10%\\r20%", "a progress bar"),
        ("Traceback (most recent call last)", "an error"),
    ],
)
def test_debris_in_outputs_is_found(build, course, output, name):
    path = write(course)
    build.write(path, anew=False)
    made = course / "01_twice.ipynb"
    made.write_text(made.read_text().replace("Right.\\n", output))
    (problem,) = build.drift(path)
    assert name in problem


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem[:2])
def test_committed_notebooks_are_what_their_sources_say(build, path):
    assert build.drift(path) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem[:2])
def test_every_notebook_has_the_parts_of_a_lesson(build, path):
    """The skeleton that readers learn to expect, in every notebook."""
    cells = build.teacher(path).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    for part in ("at a glance", "## Honest limits", "## Key points", "## References"):
        if part == "## Honest limits" and path.stem.startswith(("01", "08")):
            continue  # 01: "What two matrices cannot do"; 08: the rubric
        assert part in text, part
    assert len(re.findall(r"^### Exercise \d", text, re.MULTILINE)) == 3
    questions = text[text.index("## Five questions") :]
    assert len(re.findall(r"^5\. ", questions, re.MULTILINE)) == 2  # and its answer
    assert sum(build.has(cell, "check") for cell in cells) == 3
    assert "KERAS_BACKEND" in code(nbformat.v4.new_notebook(cells=cells))[0]


def test_recorded_times_are_shown_on_the_front_page(build, course, monkeypatch):
    monkeypatch.setattr(build, "SOURCES", [write(course)])
    monkeypatch.setattr(build, "TIMES", course / "times.json")
    page = course / "README.md"
    page.write_text("before\n<!-- times -->\nold\n<!-- /times -->\nafter\n")
    for backend, seconds in (("jax", 12.3), ("torch", 7.8)):
        monkeypatch.setenv("KERAS_BACKEND", backend)
        build.record({"01_twice": seconds})
    assert page.read_text() == (
        "before\n<!-- times -->\n| notebook | JAX (s) | PyTorch (s) |\n"
        "| :-- | --: | --: |\n| 01_twice | 12 | 8 |\n<!-- /times -->\nafter\n"
    )


def test_the_front_page_shows_the_measured_times(build):
    page = (COURSE / "README.md").read_text()
    assert build.times_table() in page
    for path in SOURCES:
        assert f"({path.stem}.ipynb)" in page
        assert f"(student/{path.stem}.ipynb)" in page
