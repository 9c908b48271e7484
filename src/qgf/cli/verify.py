"""`qgf verify`: Say whether runs, policies, studies and data are what was written."""

from pathlib import Path

import tyro

from qgf.cli.printing import closing, console, print_table


def verify(paths: tyro.conf.Positional[tuple[Path, ...]] = (Path("runs"),), /, accept: bool = False):
    """Compare files with the SHA-256 sums that lie beside them (SHA256SUMS), and read runs and policies; exit status 1
    if anything is damaged.

    Args:
        paths: Runs, policies, studies, data, or folders of them.
        accept: Take everything as it is now: list the sums of files that were changed on purpose, or never had one.
    """
    from qgf.laboratory.verify import accept as take
    from qgf.laboratory.verify import verify as look

    if accept:
        take(paths)
    found = look(paths)
    rows = []
    for x in found:
        state = "damaged" if x.damage else "good" if x.good and not x.unlisted else "no checksum"
        names = ", ".join(x.unlisted[:3]) + ", ..." * (len(x.unlisted) > 3)
        rows.append([state, x.what, str(len(x.good)), names, str(x.path)])
    print_table(("", "", "files as written", "without a sum", ""), rows, words=2)
    damage = [line for x in found for line in x.damage]
    for line in damage:
        console.print(line)
    closing(f"{len(found)} looked at, {sum(bool(x.damage) for x in found)} damaged")
    if damage:
        raise SystemExit(1)
