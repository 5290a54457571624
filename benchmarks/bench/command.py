"""`clavilux bench`: how fast and how evenly it plays here, what is left of the machine, and how other stacks do."""

import argparse
from dataclasses import replace
from pathlib import Path

from clavilux.benchmarks.bench.options import PARTS, options_from
from clavilux.benchmarks.command_line import (
    chosen,
    make_folder,
    parse_counts,
    parse_rounds,
    parse_seconds,
    parse_sizes,
    require,
    stopwatch,
)
from clavilux.benchmarks.peers.process import PEERS
from clavilux.benchmarks.peers.wanted import ARCHITECTURES
from clavilux.runtime.commands.options import add_model_options

NEEDED = ("onnx",)  # modules of the extra `bench`
PLOTTING = "matplotlib"
REPORT = "report.json"

EXAMPLES = """\
examples:
  clavilux bench                                       the default bundle on this machine, in about a minute
  clavilux bench --bundle my-bundle --device cuda --steps 1,4 --sizes 256,512,768
  clavilux bench --compare torch                       the same weights in PyTorch, by turns: ratios
  clavilux bench --compare all --checkpoints my/checkpoints --bundle my-bundle \\
      --peer-python optimum=PEER/bin/python            peers in environments of their own: docs/bench.md
  clavilux bench --architecture sd-turbo --compare torch,torch-compile --steps 1
  clavilux bench --browser --sound bark.wav            in a real browser too
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = EXAMPLES
    add_model_options(parser)
    parser.add_argument(
        "--sizes", type=parse_sizes, default=(), metavar="H[xW],...", help="of the pictures (the bundle's own)"
    )
    parser.add_argument("--steps", type=parse_counts, default=(), metavar="N,...", help="denoising steps (1,2,4)")
    parser.add_argument("--seconds", type=parse_seconds, default=5.0, metavar="S", help="to measure each setting (5)")
    parser.add_argument("--sound", type=Path, metavar="FILE", help="what is played through the socket (seeded noise)")
    parser.add_argument("--browser", action="store_true", help="measure in Chromium too; needs playwright and --sound")
    parser.add_argument("--without", type=_parts, default=(), metavar="PART,...", help=f"leave out: {', '.join(PARTS)}")
    parser.add_argument("--out", type=Path, default=Path("clavilux-bench"), metavar="FOLDER", help="for JSON and plots")
    parser.add_argument("--no-plots", action="store_true", help="write the JSON alone")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    group = parser.add_argument_group("other stacks on the same weights")
    group.add_argument(
        "--compare",
        type=_peers,
        dest="peers",
        default=(),
        metavar="PEER,...",
        help=f"{', '.join(PEERS)}, or all",
    )
    group.add_argument(
        "--peer-python",
        type=_python,
        dest="pythons",
        action="append",
        default=[],
        metavar="PEER=PATH",
        help="the interpreter of a peer's own environment; again for more",
    )
    group.add_argument("--rounds", type=parse_rounds, default=15, metavar="N", help="turns that each takes (15)")
    group.add_argument(
        "--checkpoints", type=Path, metavar="FOLDER", help="encoder/, unet/, vae/, scheduler/ that a bundle comes from"
    )
    group.add_argument(
        "--architecture", choices=ARCHITECTURES, help="seeded random weights of this architecture (lumia, to compare)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure, print the table, and write report.json and the plots."""
    require([*NEEDED, *(() if arguments.no_plots else (PLOTTING,))])
    from clavilux.benchmarks.bench.run import measure

    progress = stopwatch()
    asked = options_from(arguments)
    make_folder(arguments.out)
    report = measure(asked, progress)
    if not arguments.no_plots:
        from clavilux.benchmarks.bench.plots import draw_all

        report = replace(report, files=draw_all(report, arguments.out))
    report.write(arguments.out / REPORT)
    if arguments.json:
        print(report.json())
    else:
        print(report.table())
        print(f"\n{arguments.out}: {', '.join((REPORT, *report.files))}")
    return 0


def _parts(text: str) -> tuple[str, ...]:
    return chosen(text, PARTS)


def _peers(text: str) -> tuple[str, ...]:
    return tuple(PEERS) if text == "all" else chosen(text, PEERS)


def _python(text: str) -> tuple[str, Path]:
    name, sign, path = text.partition("=")
    if name not in PEERS or not sign or not path:
        raise argparse.ArgumentTypeError(f"{text!r}; expected PEER=PATH, with a PEER of {', '.join(PEERS)}")
    return name, Path(path).absolute()  # not resolved: a virtual environment's python is a link
