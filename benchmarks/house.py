"""Count the house: lines, files, the longest of them and classes of each room, the arrows between rooms, and how far a
stage passes the configuration on.

    python -m benchmarks.house            the tables
    python -m benchmarks.house svg        docs/house.svg, the drawing in docs/architecture.md

Reads the source files alone, so it counts any checkout that it is run in.
"""

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
FLOORS = (
    ("analysis",), ("judging",), ("generation", "filtering", "training"), ("data",), ("conf",), ("store",)
)  # fmt: skip
STAGES = (*FLOORS[1], *FLOORS[2])
BESIDE = ("benchmarks", "faults", "tests")
ROOMS = tuple(room for floor in FLOORS for room in floor)
BOX, GAP, HEIGHT = 200, 40, 64  # pixels of the drawing


class Room(NamedTuple):
    """A folder's Python files. arrows: {room it imports: number of import statements}."""

    name: str
    files: int
    lines: int
    longest: int
    longest_file: str
    classes: int
    arrows: Counter[str]


def main(argv: list[str]) -> None:
    rooms = [measure(name) for name in (*ROOMS, *BESIDE)]
    if argv == ["svg"]:
        path = ROOT / "docs" / "house.svg"
        path.write_text(draw({room.name: room for room in rooms}), encoding="utf-8")
        print(f"{path.relative_to(ROOT)} drawn")
    elif argv:
        sys.exit(f"{' '.join(argv)!r} was given; nothing or svg was expected")
    else:
        print("\n".join([*table(rooms), "", *map(reach, STAGES)]))


def measure(name: str) -> Room:
    """Count a room's files, lines, classes and imports of other rooms."""
    paths = sorted((ROOT / name).rglob("*.py"))
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in paths]
    longest = max(paths, key=lines.__getitem__)
    return Room(
        name=name,
        files=len(paths),
        lines=sum(lines.values()),
        longest=lines[longest],
        longest_file=str(longest.relative_to(ROOT)),
        classes=sum(isinstance(node, ast.ClassDef) for tree in trees for node in ast.walk(tree)),
        arrows=Counter(room for tree in trees for room in imported(tree) if room in ROOMS and room != name),
    )


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield the top-level package of every import in a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def table(rooms: list[Room]) -> Iterator[str]:
    """Yield a line for every room, and their sum."""
    form = "{:<12}{:>6}{:>8}{:>9}   {:<44}{}"
    yield form.format("room", "files", "lines", "classes", "longest file", "imports from")
    for room in rooms:
        arrows = ", ".join(f"{name} {count}" for name, count in room.arrows.most_common())
        longest = f"{room.longest} {room.longest_file}"
        yield form.format(room.name, room.files, f"{room.lines:,}", room.classes, longest, arrows)
    house = [room for room in rooms if room.name in ROOMS]
    files, lines, classes = (sum(getattr(room, count) for room in house) for count in ("files", "lines", "classes"))
    yield form.format("the house", files, f"{lines:,}", classes, "without benchmarks, faults and tests", "").rstrip()


def reach(stage: str) -> str:
    """Say how many functions of a stage take the whole configuration, and which."""
    there = list(functions(stage))
    names = [f"{path.relative_to(ROOT / stage)} {function.name}" for path, function in there if takes_all(function)]
    return f"{stage:<12}{len(names)} of {len(there)} functions take the whole Config: {', '.join(names)}"


def functions(room: str) -> Iterator[tuple[Path, ast.FunctionDef]]:
    """Yield every function of a room, with its file."""
    for path in sorted((ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                yield path, node


def takes_all(function: ast.FunctionDef) -> bool:
    """Tell whether a function has a parameter that is a whole Config, by its annotation."""
    parameters = (node for node in ast.walk(function.args) if isinstance(node, ast.arg))
    annotations = (node for parameter in parameters if parameter.annotation for node in ast.walk(parameter.annotation))
    return any("Config" in (getattr(node, "id", None), getattr(node, "attr", None)) for node in annotations)


def draw(rooms: dict[str, Room]) -> str:
    """Draw the floors as boxes: imports go down, what a room imports stands under its name."""
    width = max(map(len, FLOORS)) * (BOX + GAP) + GAP
    parts = []
    for row, floor in enumerate(FLOORS):
        left = (width - len(floor) * (BOX + GAP) + GAP) // 2
        for column, name in enumerate(floor):
            x, y, room = left + column * (BOX + GAP), GAP + row * (HEIGHT + GAP), rooms[name]
            below = ", ".join(sorted(room.arrows)) or "nothing of ours"
            texts = (("bold", f"{name}/"), ("normal", f"{room.files} files, {room.lines:,} lines"), ("normal", below))
            parts.append(
                f'<rect x="{x}" y="{y}" width="{BOX}" height="{HEIGHT}" rx="6" fill="#eef3f8" stroke="#5f6871"/>'
            )
            parts += [
                f'<text x="{x + 10}" y="{y + 20 + 18 * line}" font-weight="{weight}">{escape(text)}</text>'
                for line, (weight, text) in enumerate(texts)
            ]
    height = GAP + len(FLOORS) * (HEIGHT + GAP)
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
    label = 'aria-label="The rooms, top to bottom: a room imports only from floors below"'
    return f'{opening} {label} font-family="sans-serif" font-size="12">\n' + "\n".join(parts) + "\n</svg>\n"


if __name__ == "__main__":
    main(sys.argv[1:])
