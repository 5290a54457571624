"""The reference of parameters, docs/parameters.md: everything that can be turned while it plays, as it is declared.

    python docs/make_parameters.py            writes the page
    python docs/make_parameters.py --check    exit code 1 and one line where the page is stale

Nothing is said twice: names, bounds, units, defaults and lines come from `clavilux.runtime.control.parameters`.
"""

import argparse
import sys
from pathlib import Path

from clavilux.runtime.control.parameters import DEFAULT_ROUTES, GROUPS, RANGES, Parameters, Range
from clavilux.runtime.control.routes import ROUTE_COUNT, SOURCES
from clavilux.runtime.output.effects import EFFECTS

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "parameters.md"
COMMAND = "python docs/make_parameters.py"
OF_THE_BUNDLE = ("steps", "guidance", "height", "width")  # whose defaults a bundle has
SOME_BUNDLES = {
    "stream_batch": "bundles made with `--batch`",
    "guidance": "bundles made with `--guidance`",
    "height": "bundles made with `--sizes`",
    "width": "bundles made with `--sizes`",
}
NEWLINE = "\n"
MINUS = "\N{MINUS SIGN}"

HEAD = f"""# The parameters

Everything that can be turned while it plays: on the page, by `--set NAME=VALUE`, from Python (`engine.set`,
`stage.set`), or by a [`parameters` message](protocol.md#from-client-to-server-text). Values are merged per key, the
newest wins, and they take effect at the next picture, or at the next refresh of the screen.
`{COMMAND}` writes this page from their declarations.

Those marked *screen* act after the pictures: in the page, at the rate of the display, and in films. Programs that take
pictures from the websocket get them without.
"""

OPENINGS = {
    "react": f"""How the sound moves the picture *now*. One knob, `react`, scales all of it. A **route** is a line:

```
onset > exposure 0.8, attack 0, release 0.2, curve 1
```
Each onset lifts the exposure by up to 0.8, in the parameter's own unit, at once, and lets go of it with a time constant
of 0.2 s; `curve` is an exponent on the source. What is left out is 0 s, 0.1 s and 1. An empty line is no route. Sources
are

{", ".join(f"`{name}`" for name in SOURCES)}.

All are 0 to 1 but the two waves, which are {MINUS}1 to 1. `beat` is 1 on the beat and falls towards the next, as it
will be *seen*: what is tied to the beat is sent early by the latency that the stage measures. There are {ROUTE_COUNT}
of them, `route_1` to `route_{ROUTE_COUNT}`. To begin with they are

```
{NEWLINE.join(DEFAULT_ROUTES) or "(none)"}
```
""",
    "morph": """How one picture becomes the next. `motion_*` moves the noise that the next one is painted from, and with
`feedback` the last picture's latents too.
""",
    "look": "What is done to the picture on the screen, in linear light.\n",
    "sound": "How it listens.\n",
    "safety": "What a stage needs.\n",
    "engine": "How the pictures are made.\n",
}


def bounds(spec: Range) -> str:
    """Return the values that a parameter may have, for people."""
    if spec.kind == "choice":
        return ", ".join(f"`{choice}`" for choice in spec.choices)
    if spec.kind == "bool":
        return "on, off"
    low, high = (plain(value) for value in (spec.low, spec.high))
    return f"{'0, or ' if spec.or_zero else ''}{low} to {high} {spec.unit}".strip()


def plain(value: object) -> str:
    """Return a value without digits that say nothing."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value).removesuffix(".0").replace("-", MINUS) if isinstance(value, (int, float)) else f"`{value}`"


def row(name: str, spec: Range) -> str:
    """Return a parameter's row."""
    default = "the bundle's" if name in OF_THE_BUNDLE else plain(Parameters().values()[name])
    marks = [SOME_BUNDLES[name]] if name in SOME_BUNDLES else []
    about = f"{spec.about}{f'. Of {marks[0]}' if marks else ''}{' *screen*' if spec.on == 'screen' else ''}"
    return f"| `{name}` | {about} | {bounds(spec)} | {default} |"


def page() -> str:
    """Return the whole page."""
    parts = [HEAD]
    for group in GROUPS:
        rows = [row(name, spec) for name, spec in RANGES.items() if spec.group == group and spec.kind != "route"]
        table = ["| name | what | bounds | to begin with |", "|---|---|---|---|", *rows]
        parts.append(f"## {group.capitalize()}\n{OPENINGS[group]}\n" + "\n".join(table) + "\n")
    formulas = [f"| `{one.name}` | {one.formula.replace('|', '/')} |" for one in EFFECTS]
    head = (
        "## The effects' formulas\nx, y is a place in heights of the picture from its middle, c linear light, L its\n"
    )
    head += "luminance, v the value, t seconds. The page and films agree on them.\n\n| effect | formula |\n|---|---|\n"
    return "\n".join([*parts, head + "\n".join(formulas) + "\n"])


def main() -> int:
    """Write the page, or say whether it is stale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where the page is stale")
    if not parser.parse_args().check:
        PAGE.write_text(page(), encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        print(f"make_parameters: docs/parameters.md is stale; run: {COMMAND}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
