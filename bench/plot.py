"""`python -m bench.plot`: docs/benchmarks.svg, from build/bench-tau2.json."""

import json
from xml.sax.saxutils import escape

from bench.process import ROOT

SOURCE = ROOT / "build" / "bench-tau2.json"
TARGET = ROOT / "docs" / "benchmarks.svg"
LEFT, WIDE, HIGH, TOP = 150, 420, 34, 78
COLOURS = {"gold": "#2a7f62", "nothing": "#c2703d"}
NAMES = {"gold": "ceiling: the task's own solution", "nothing": "floor: nothing is done"}


def bar(at: float, words: str, value: float) -> str:
    """A bar and its number; a value of nothing is a line."""
    wide = max(1.5, value * WIDE)
    colour = COLOURS[words]
    return (
        f'<rect x="{LEFT}" y="{at}" width="{wide:.1f}" height="12" fill="{colour}"/>'
        f'<text x="{LEFT + wide + 6:.1f}" y="{at + 10}" font-size="11">{value:.3f}</text>'
    )


def text(x: float, y: float, said: str, more: str = "") -> str:
    return f'<text x="{x}" y="{y}" font-size="13" {more}>{escape(said)}</text>'


def drawn() -> str:
    """The plot: agents side by side, each with its ceiling and its floor."""
    kept = [row for row in json.loads(SOURCE.read_text()) if row["unit"] == "reward" and "retail" in row["name"]]
    values: dict[str, dict[str, float]] = {}
    for row in kept:
        _, words, agent = row["name"].split("/")
        name = "harness alone" if agent.startswith("direct") else agent
        values.setdefault(name, {})[words] = row["value"]
    count = kept[0]["note"].partition(" ")[0]
    high = TOP + HIGH * len(values) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDE + 80}" height="{high}" font-family="sans-serif">',
        '<rect width="100%" height="100%" fill="white"/>',
        text(12, 22, f"tau2 retail, {count} tasks, mean reward, scripted models (no claim of quality)"),
    ]
    for place, (words, said) in enumerate(NAMES.items()):
        x = 12 + 260 * place
        parts.append(f'<rect x="{x}" y="38" width="12" height="12" fill="{COLOURS[words]}"/>')
        parts.append(text(x + 18, 49, said))
    for place, (name, found) in enumerate(values.items()):
        at = TOP + HIGH * place
        parts.append(text(LEFT - 10, at + 16, name, 'text-anchor="end"'))
        parts += [bar(at + 14 * n, words, found[words]) for n, words in enumerate(NAMES) if words in found]
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    TARGET.write_text(drawn())
