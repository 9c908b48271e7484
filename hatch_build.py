"""Puts the interactive tutorial into the sdist and the wheel: one HTML file, made by npm from tutorial/."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PAGE = Path("src/qgf/pages/tutorial.html")
NODE = (20, 19)


class Tutorial(BuildHookInterface):
    """Builds the page if it is not there. A tree that holds it, such as an unpacked sdist, needs no Node; one that
    neither holds it nor has Node gives a package without it and one line that says so.
    """

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict) -> None:
        root = Path(self.root)
        if version == "editable" or (root / PAGE).is_file():
            return
        missing = why_not(root / "tutorial")
        if not missing:
            for command in (["npm", "ci", "--no-audit", "--no-fund"], ["npm", "run", "-s", "build"]):
                if subprocess.run(command, cwd=root / "tutorial", stdout=subprocess.DEVNULL).returncode:
                    missing = f"`{' '.join(command)}` failed in tutorial/"
                    break
        if missing:
            self.app.display_warning(f"{self.target_name} without the interactive tutorial: {missing}")
        else:
            shutil.copyfile(root / "tutorial/dist/index.html", root / PAGE)


def why_not(tutorial: Path) -> str:
    """What is missing for building the page; empty if nothing is."""
    if not (tutorial / "package.json").is_file():
        return "its sources are not here"
    if not (shutil.which("node") and shutil.which("npm")):
        return "it is built by Node 20.19 or newer and npm, which are not installed"
    said = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout.strip()
    if tuple(int(part) for part in said.lstrip("v").split(".")[:2]) < NODE:
        return f"it is built by Node 20.19 or newer, here is {said}"
    return ""
