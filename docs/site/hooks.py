"""Puts the repository's other documents into the site, and their links right.

README, CHANGELOG, CONTRIBUTING and the course live where readers of the repository look
for them. In the site they are pages like those in `docs/`. Links are written for the
repository; here each becomes a link to the page that shows the same thing: one to a
module that defines a public class leads to that class in the API reference.
"""

import ast
import html
import posixpath
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
DOCUMENTS = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "LICENSE": "LICENSE",
    "CITATION.cff": "CITATION.cff",
}
COURSE = ("*.ipynb", "*.md", "*.json", "*.py", "instructors/*.md", "student/**/*")
PACKAGES = (
    *("layers", "synthesizers", "mixers", "models", "inspection", "surgery"),
    *("datasets", "ops"),
)
# Or code, which may contain dollars.
FORMULA = re.compile(
    r"<(pre|code|script|style)\b.*?</\1>"
    r"|(?P<dollars>\$\$?)(?P<formula>[^$<]+)(?P=dollars)",
    re.DOTALL,
)
# A link, or code, in which nothing is one.
LINK = re.compile(
    r"(?ms)^ *(?P<fence>```+|~~~+).*?^ *(?P=fence)|(?P<tick>`+)(?:(?!\n\n).)+?(?P=tick)"
    r"|\]\((?P<target>[^)#\s]*)(?P<anchor>#[^)\s]*)?\)"
)


def place(path: Path) -> str | None:
    """Where the site has a document of the repository; None where it has not."""
    if path.is_dir():
        path /= "README.md"
    name = path.relative_to(ROOT).as_posix()
    if name in DOCUMENTS:
        return DOCUMENTS[name]
    if name.startswith(("docs/", "tutorials/")):
        return name.removeprefix("docs/")
    return None


def public(module: Path) -> dict[str, list[str]]:
    """What a module makes public, in its order: names, and the base classes of each."""
    return {
        node.name: [ast.unparse(base) for base in getattr(node, "bases", [])]
        for node in ast.parse(module.read_text()).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
        and any(
            isinstance(each, ast.Name) and each.id == "export"
            for each in node.decorator_list
        )
    }


def entry(path: Path) -> str | None:
    """Where the API reference describes a module or package of the library."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    if len(parts) < 2 or parts[0] != "keras_stt" or parts[1] not in PACKAGES:
        return None
    page = f"reference/{parts[1]}.md"
    if path.is_dir():
        return page
    name = next(iter(public(path)), None)
    return f"{page}#keras_stt.{parts[1]}.{name}" if name else None


def reference(package: str) -> str:
    """The page of the API reference about a package: base classes come last."""
    folder = ROOT / "keras_stt" / package
    bases: dict[str, list[str]] = {}
    for module in folder.glob("*.py"):
        bases |= public(module)
    inherited = {base for each in bases.values() for base in each}
    names = sorted(bases, key=lambda name: (name in inherited, name.lower()))
    about = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
    entries = [f"::: keras_stt.{package}.{name}" for name in names]
    return "\n\n".join([f"# keras_stt.{package}", about or "", *entries])


@event_priority(100)  # Before mkdocs-jupyter looks for notebooks.
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the documents that are not in `docs/`."""
    for name, uri in DOCUMENTS.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / name)))
    options = (str(ROOT), config.site_dir, config.use_directory_urls)
    for pattern in COURSE:
        for path in sorted((ROOT / "tutorials").glob(pattern)):
            if path.is_file() and ".ipynb_checkpoints" not in path.parts:
                files.append(File(path.relative_to(ROOT).as_posix(), *options))
    for package in PACKAGES:
        page = File.generated(
            config, f"reference/{package}.md", content=reference(package)
        )
        files.append(page)
    return files


def on_page_markdown(
    markdown: str, page: Page, config: MkDocsConfig, files: Files
) -> str:
    """Turns links between documents of the repository into links of the site."""
    if page.is_homepage:
        page.meta["hide"] = ["navigation"]  # It would hold nothing but this page.
    if page.file.src_uri.startswith("reference/"):
        return markdown
    source = Path(page.file.abs_src_path)

    def turned(match: re.Match[str]) -> str:
        target, anchor = match["target"], match["anchor"] or ""
        if not target or re.match(r"\w+:", target):
            return match[0]
        path = Path(posixpath.normpath(source.parent / target))
        if not path.is_relative_to(ROOT) or not path.exists():
            raise PluginError(f"{source} must link to what exists. Received: {target}")
        found = entry(path) or place(path)
        if not found:
            raise PluginError(f"{source} must link to what the site has: {target}")
        if anchor and "#" in found:
            raise PluginError(f"{source} must link to a module without #: {target}")
        here = posixpath.dirname(page.file.src_uri)
        return f"]({posixpath.relpath(found, here or '.')}{anchor})"

    return LINK.sub(turned, markdown)


def on_page_content(
    content: str, page: Page, config: MkDocsConfig, files: Files
) -> str:
    """Turns the formulas of notebooks into MathML, which browsers show themselves."""
    if not page.file.src_uri.endswith(".ipynb"):
        return content

    def shown(match: re.Match[str]) -> str:
        if not match["formula"]:
            return match[0]
        display = "block" if match["dollars"] == "$$" else "inline"
        return convert(html.unescape(match["formula"]), display=display)

    return FORMULA.sub(shown, content)
