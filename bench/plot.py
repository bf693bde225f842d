"""Draws the figures of a JSON file: `python -m bench.plot FILE IMAGE`.

The image's name ends in .svg or .png. Needs matplotlib: `pip install '.[bench]'`.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

__all__ = ["draw", "main"]

_COLUMNS: Final = 3
_OURS: Final = "#1f6feb"
_OTHERS: Final = "#b6bcc4"


def draw(found: Mapping[str, Any], image: Path) -> None:
    """Draw a bar for each way and workload, as long as the median, with its range.

    Raises:
        ImportError: there is no matplotlib.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    # Direct access would make all the other bars short.
    charts = [
        (workload, {way: f for way, f in found["figures"][name].items() if way != "direct"})
        for name, workload in found["workloads"].items()
    ]
    charts = [(workload, by_way) for workload, by_way in charts if by_way]
    rows = math.ceil(len(charts) / _COLUMNS)
    figure, axes = pyplot.subplots(
        rows, _COLUMNS, figsize=(5 * _COLUMNS, 2.6 * rows), squeeze=False, layout="constrained"
    )
    places = [place for row in axes for place in row]
    for place, (workload, by_way) in zip(places, charts, strict=False):
        values = {way: [f["value"] for f in rounds] for way, rounds in by_way.items()}
        names = list(values)[::-1]
        middles = [median(values[name]) for name in names]
        spread = [
            [middle - min(values[name]) for name, middle in zip(names, middles, strict=True)],
            [max(values[name]) - middle for name, middle in zip(names, middles, strict=True)],
        ]
        colours = [_OURS if name.startswith("inletspy") else _OTHERS for name in names]
        place.barh(names, middles, xerr=spread, color=colours, error_kw={"lw": 1})
        less = ""
        if workload["less_is_better"]:
            less = ", less is better; each line ten times the one before"
            place.set_xscale("log")  # some take thousands of times as long
            place.grid(axis="x", alpha=0.4)
        place.set_title(f"{workload['title']}\n{workload['unit']}{less}", fontsize=9)
        place.tick_params(labelsize=8)
        place.spines[["top", "right"]].set_visible(False)
    for place in places[len(charts) :]:
        place.axis("off")
    figure.savefig(image)


def main(words: Sequence[str] | None = None) -> int:
    """The command line; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.plot")
    parser.add_argument("file", type=Path, help="what `python -m bench --json FILE` has written")
    parser.add_argument("image", type=Path, help="ends in .svg or .png")
    options = parser.parse_args(words)
    try:
        draw(json.loads(options.file.read_text()), options.image)
    except ImportError:
        print("plot: there is no matplotlib: pip install '.[bench]'", file=sys.stderr)
        return 1
    except (OSError, ValueError, KeyError) as error:
        print(f"plot: can't draw {options.file}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
