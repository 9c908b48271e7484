"""What the site takes from the source tree: a page of reference for every room of the package, and the tutorial."""

import inspect
import re
import tomllib
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

import qgf
from qgf.cli.names import KINDS, summaries
from qgf.registry import Registry

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/qgf"
TUTORIAL = PACKAGE / "pages/tutorial.html"
ELSEWHERE = re.compile(r'<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)="(https?:[^"]*)')
FRAME = '<iframe class="tutorial" src="tutorial-page.html" title="The interactive tutorial"></iframe>'


def on_config(config):
    reference = next(part for part in config.nav if "Reference" in part)
    reference["Reference"] = [f"reference/{page}.md" for page in ("index", "ground", *rooms())]
    return config


def on_files(files: Files, config) -> Files:
    for room in rooms():
        files.append(File.generated(config, f"reference/{room}.md", content=room_page(room)))
    files.append(File.generated(config, "reference/ground.md", content=ground_page()))
    files.append(File.generated(config, "reference/index.md", content=public_page()))
    if TUTORIAL.is_file():
        files.append(File.generated(config, "tutorial-page.html", abs_src_path=str(TUTORIAL)))
    return files


def on_page_markdown(markdown: str, page, config, files) -> str:
    if page.file.src_uri == "commands.md":
        return markdown.replace("<!-- names -->", names())
    if page.file.src_uri == "tutorial.md" and TUTORIAL.is_file():
        return markdown.replace("<!-- the page -->", f"[Open it alone](tutorial-page.html)\n\n{FRAME}")
    return markdown


def on_post_build(config) -> None:
    """A page of this site loads nothing from elsewhere."""
    for path in sorted(Path(config.site_dir).rglob("*.html")):
        if path.name != "tutorial-page.html" and (found := ELSEWHERE.search(path.read_text(encoding="utf-8"))):
            raise PluginError(f"{path}: loads {found[1]}")


def names() -> str:
    """What `qgf names` says, a table for each kind."""
    tables = []
    for kind in KINDS:
        rows = "\n".join(
            f"| `{name}` | {about.replace('|', chr(92) + '|')} |" for name, about in summaries(kind).items()
        )
        tables.append(f"| {kind} | |\n|---|---|\n{rows}\n")
    return "\n".join(tables)


def rooms() -> list[str]:
    """The sub-packages of qgf, in the order of their contract from the ground up."""
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    order = re.findall(r"[\w.]+", " ".join(reversed(tools["importlinter"]["contracts"][0]["layers"])))
    folders = [init.parent.name for init in PACKAGE.glob("*/__init__.py")]
    return sorted(folders, key=lambda room: order.index(f"qgf.{room}"))


def room_page(room: str) -> str:
    """What the room is for, and all its modules."""
    about = f"::: qgf.{room}\n    options: {{members: false, show_root_heading: false, show_root_toc_entry: false}}\n"
    return "\n".join([f"# qgf.{room}\n", about, *modules((PACKAGE / room).rglob("*.py"), f"qgf.{room}.")])


def ground_page() -> str:
    """What all rooms stand on: the modules of the package itself."""
    about = "What all rooms stand on: types, errors, files, statistics.\n"
    return "\n".join(["# The ground\n", about, *modules(PACKAGE.glob("*.py"), "qgf.")])


def modules(paths, prefix: str) -> list[str]:
    """A section for each module, which can be linked to by its full name."""
    named = sorted(path for path in paths if not path.stem.startswith("__"))
    names = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in named]
    options = "options: {show_root_heading: false, show_root_toc_entry: false}"
    return [f"## {name.removeprefix(prefix)} {{#{name}}}\n\n::: {name}\n    {options}\n" for name in names]


def public_page() -> str:
    """The names of `import qgf`, where they live and what they are."""
    about = f"# import qgf\n\n{inspect.getdoc(qgf)}\n\nVersion {qgf.__version__}.\n"
    lines = [about, "| name | what it is |", "|---|---|"]
    for name in sorted(qgf.__all__, key=str.lower):
        thing = getattr(qgf, name)
        if isinstance(thing, Registry):
            lines.append(f"| `qgf.{name}` | Every {thing.kind} by name, yours too. |")
            continue
        where = thing.__name__ if inspect.ismodule(thing) else f"{thing.__module__}.{thing.__qualname__}"
        summary = " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split()).replace("|", "\\|")
        lines.append(f"| [`qgf.{name}`][{where}] | {summary} |")
    return "\n".join(lines)
