"""Joins the pictures of a folder, in the order of their names, into a looping WebP; with `--hold` the last one stays for two seconds.

python loop.py FOLDER OUT.webp MILLISECONDS [--hold]
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

QUALITY = 55


def main(folder: str, out: str, milliseconds: int, hold: bool) -> None:
    frames = [Image.open(path).convert("RGB") for path in sorted(Path(folder).glob("*.png"))]
    durations = [milliseconds] * len(frames)
    if hold:
        durations[-1] = 2000
    frames[0].save(
        out,
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        loop=0,
        quality=QUALITY,
        method=4,
        minimize_size=True,
    )


if __name__ == "__main__":
    main(*sys.argv[1:3], int(sys.argv[3]), "--hold" in sys.argv)
