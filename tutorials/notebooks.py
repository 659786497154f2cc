"""The forms of a notebook: the teacher's, the student's, and a rehearsal."""

from __future__ import annotations

import re
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

STUB = "# your code here"

_EXPECT_REFUSAL = '''
def _expect_refusal(answer, check):
    """A wrong answer must not pass the check."""
    import contextlib, io
    import matplotlib.pyplot as plt
    names = dict(globals())
    with contextlib.redirect_stdout(io.StringIO()):
        exec(answer, names)
        try:
            exec(check, names)
        except Exception as error:
            plt.close("all")
            refused = isinstance(error, (AssertionError, ValueError))
            if refused or "# your code here" in answer:
                return
            raise
    raise RuntimeError("This wrong answer passes the check:\\n" + answer)
'''


def source(path: Path) -> NotebookNode:
    """A source as a notebook, with cell numbers that change with the cells only."""
    notebook = jupytext.reads(path.read_text(), fmt="py:percent")
    cells = []
    for cell in notebook.cells:
        is_code = cell.cell_type == "code"
        make = nbformat.v4.new_code_cell if is_code else nbformat.v4.new_markdown_cell
        cells.append(make(cell.source, id=f"cell-{len(cells)}"))
        cells[-1].metadata["tags"] = list(cell.metadata.get("tags", []))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(
        cells=cells,
        metadata={"kernelspec": kernel, "language_info": {"name": "python"}},
    )


def teacher(path: Path) -> NotebookNode:
    """The notebook with folded solutions, not executed yet."""
    notebook = source(path)
    notebook.cells = [cell for cell in notebook.cells if not has(cell, "wrong")]
    for cell in notebook.cells:
        if has(cell, "solution"):
            cell.source = f"# @title Solution\n{solved(cell.source)}"
            # Folded in Jupyter, and in Colab.
            cell.metadata |= {"jupyter": {"source_hidden": True}, "cellView": "form"}
    return notebook


def student(path: Path) -> NotebookNode:
    """The notebook with the learner's work still to do."""
    notebook = source(path)
    notebook.cells = [cell for cell in notebook.cells if not has(cell, "wrong")]
    number = 0
    for cell in notebook.cells:
        if has(cell, "solution"):
            number += 1
            stuck = f"# Stuck? %load solutions/{solution_name(path, number)}"
            cell.source = f"{unsolved(cell.source)}\n\n{stuck}"
    return notebook


def solutions(path: Path) -> dict[str, str]:
    """The solutions of a notebook, by the names of their files."""
    solved_cells = [
        solved(cell.source) for cell in source(path).cells if has(cell, "solution")
    ]
    return {
        solution_name(path, number): f"{text}\n"
        for number, text in enumerate(solved_cells, 1)
    }


def solution_name(path: Path, number: int) -> str:
    """The file of a solution: notebook and exercise."""
    return f"{path.stem[:2]}_{number}.py"


def rehearsal(path: Path) -> NotebookNode:
    """The notebook in which wrong answers, and none, are tried before the right one.

    Raises:
        ValueError: If a solution has no check, or no wrong answer.
    """
    notebook = source(path)
    cells: list[NotebookNode] = []
    at, answers = 0, list[str]()
    for cell in notebook.cells:
        if has(cell, "wrong"):
            answers.append(cell.source)
            continue
        if has(cell, "solution"):
            if answers:
                raise ValueError(f"{path.name}: a solution without a check")
            at, answers = len(cells), [unsolved(cell.source)]
            cell.source = solved(cell.source)
        elif has(cell, "check"):
            if len(answers) < 2:
                raise ValueError(f"{path.name}: a check without a wrong answer")
            tries = [f"_expect_refusal({it!r}, {cell.source!r})" for it in answers]
            # Before the solution: what it defines must not help.
            cells.insert(at, nbformat.v4.new_code_cell("\n".join(tries)))
            answers = []
        cells.append(cell)
    if answers:
        raise ValueError(f"{path.name}: a solution without a check")
    notebook.cells = [nbformat.v4.new_code_cell(_EXPECT_REFUSAL), *cells]
    return notebook


def has(cell: NotebookNode, tag: str) -> bool:
    """Whether a cell has a tag."""
    return tag in cell.metadata.get("tags", [])


def solved(text: str) -> str:
    """A solution without the marks."""
    text = re.sub(r"^ *# </?solution>\n?", "", text, flags=re.MULTILINE)
    return re.sub(r"  # <solution>$", "", text, flags=re.MULTILINE).rstrip("\n")


def unsolved(text: str) -> str:
    """A solution with a gap where its marks are.

    `name = answer  # <solution>` keeps the name; of a block between `# <solution>` and
    `# </solution>` nothing is kept.
    """
    gap = rf"\1...  {STUB}"
    text = re.sub(
        r"^( *)# <solution>\n.*?# </solution>$",
        gap,
        text,
        flags=re.MULTILINE | re.DOTALL,
    )
    gapped = re.sub(
        r"^( *(?:[^\n=]+ = |return ))[^\n]*  # <solution>$",
        gap,
        text,
        flags=re.MULTILINE,
    )
    if STUB not in gapped:
        raise ValueError(f"A solution must mark what is left out. Received:\n{text}")
    return gapped
