"""`clavilux live`: the instrument on this machine; a page opens, and the picture follows the sound."""

import argparse
import threading
import webbrowser

from clavilux.server.commands import play
from clavilux.server.web.run import Listening

EXAMPLES = """\
examples:
  clavilux live                                 the browser's microphone
  clavilux live --list-inputs                   which inputs this machine has
  clavilux live --input "USB Audio"             one of them, by its name, a part of it, or its index
  clavilux live --input "USB Audio:3"           its third channel alone; :1+2 takes two of them
  clavilux live --bundle ~/bundles/mine --set glide=1.5
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("--no-browser", action="store_true", help="do not open a page")
    play.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Play, and open the page once the server listens."""
    return play.play(arguments, _nothing if arguments.no_browser else _open_page)


def _open_page(here: Listening) -> None:
    """Open the page in a thread, because starting a browser can take its time."""
    threading.Thread(target=webbrowser.open, args=(here.url,), daemon=True).start()


def _nothing(_here: Listening) -> None:
    """Leave the browser alone."""
