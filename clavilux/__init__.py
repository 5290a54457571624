"""The one importable name: `connect` watches and plays a server, `open_engine` plays in this process.

    from clavilux import connect, open_engine

Both load what they need when they are first asked for, so that the command starts fast. In a checkout the folders
beside this file are links to the five real ones; an installed package holds them itself.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clavilux.runtime.loading import open_engine as open_engine
    from clavilux.server.client.connect import SoundFormat as SoundFormat
    from clavilux.server.client.connect import connect as connect
    from clavilux.server.protocol.messages import PictureFormat as PictureFormat

__version__ = "0.1.0"
__all__ = ["PictureFormat", "SoundFormat", "__version__", "connect", "open_engine"]

if not (Path(__file__).parent / "runtime").is_dir():
    raise ImportError(
        f"{Path(__file__).parent} has no folder runtime: the links of this checkout are text files, or it is an "
        "unpacked sdist; run: git config core.symlinks true, then git checkout -- clavilux; or: pip install '.[cpu]'"
    )

_DOORS = {
    "PictureFormat": "clavilux.server.protocol.messages",
    "SoundFormat": "clavilux.server.client.connect",
    "connect": "clavilux.server.client.connect",
    "open_engine": "clavilux.runtime.loading",
}


def __getattr__(name: str) -> Any:
    if name in _DOORS:
        return getattr(importlib.import_module(_DOORS[name]), name)
    raise AttributeError(f"module 'clavilux' has no attribute {name!r}")
