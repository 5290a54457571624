"""Files that are written whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clavilux.runtime.errors import ClaviluxError


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; what the block wrote there takes its place when the block ends well.

    Whatever else happens, `path` stays as it was and nothing is left behind. Raises ClaviluxError when the file cannot
    be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        try:
            yield part
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise ClaviluxError(f"{path} cannot be written ({error.strerror or error}); choose another place") from error
