"""`qgf tutorial`: Serve the interactive tutorial, or write it as one page."""

import webbrowser
from pathlib import Path
from typing import Optional

from qgf.cli.printing import closing, console
from qgf.errors import UserError


def tutorial(
    policy: Optional[Path] = None,
    export: Optional[Path] = None,
    export_policy: Optional[Path] = None,
    port: int = 0,
    open: bool = True,
):
    """The interactive tutorial, on this machine: serves the page and opens it; Ctrl-C stops.

    Args:
        policy: A pointmaze run whose networks the maze runs, instead of the ones that the page ships with.
        export: Write the page as one HTML file of this name instead of serving it.
        export_policy: Write the policy of the run named by --policy to this file, which the page can open, instead
            of serving it.
        port: The port to serve on, by default a free one.
        open: Open the page in a browser.
    """
    from qgf.pages.tutorial import page, serve, write_page, write_policy

    if export_policy:
        if policy is None:
            raise UserError("--export-policy needs --policy RUN")
        write_policy(export_policy, policy)
        return closing(f"wrote {export_policy}", "tutorial", "--policy", policy)
    if export:
        write_page(export, policy)
        return closing(f"wrote {export}; open it in a browser", "demo")

    def tell(url):
        console.print(f"serving {url} on this machine only; Ctrl-C stops")
        if open:
            webbrowser.open(url)

    serve(page(policy), port, tell)
