"""`clavilux serve`: the instrument for clients of your own; docs/protocol.md says how to talk to it."""

import argparse

from clavilux.server.commands import play

EXAMPLES = """\
examples:
  clavilux serve                                clients on this machine
  CLAVILUX_TOKEN=$(openssl rand -hex 16) clavilux serve --host 0.0.0.0 --port 8000
                                                clients in the whole network who show the token
  clavilux serve --host 0.0.0.0 --tokens tokens.toml --certificate stage.pem --key stage.key --name stage.example
  clavilux serve --host 0.0.0.0 --open          everyone there plays
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = EXAMPLES
    play.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Play until interrupted."""
    return play.play(arguments, lambda _here: None)
