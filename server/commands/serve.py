"""`clavilux serve`: the instrument for clients of your own; docs/protocol.md says how to talk to it."""

import argparse

from clavilux.server.commands import play

EXAMPLES = """\
examples:
  clavilux serve                                clients on this machine
  clavilux serve --host 0.0.0.0 --port 8000     clients in the whole network, any host name
  CLAVILUX_TOKEN=secret clavilux serve --host 0.0.0.0
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = EXAMPLES
    play.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Play until interrupted."""
    return play.play(arguments, lambda _here: None)
