"""The same weights for everyone: a folder of PyTorch checkpoints, and the bundle that was exported from it.

Checkpoints are given (`--checkpoints`), or made of seeded random weights (`--architecture`). The bundle is made by our
own export, proof included, and kept beside the results, so that the next run finds it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.peers.wanted import SharedWeights, Wanted
from clavilux.export.options import Progress

PARTS = ("encoder", "unet", "vae", "scheduler")
OPTIONAL = ("text_encoder", "conditioning.safetensors")  # one of them tells the BOS embedding
PIPELINE = "pipeline"  # folder that may hold all but the encoder


def make(architecture: str, wanted: Wanted, work: Path, progress: Progress) -> SharedWeights:
    """Return seeded random weights and their bundle, found in `work` or made there. Raises ExportError, BenchError."""
    with _export_extra():
        from clavilux.benchmarks.peers.exported import random_weights
    return random_weights(architecture, wanted, work, progress)


def given(checkpoints: Path, bundle: Path | None, wanted: Wanted, work: Path, progress: Progress) -> SharedWeights:
    """Return the checkpoints in a folder and their bundle: `bundle`, or one that is exported into `work`.

    Raises BenchError when a part is missing, ExportError when they do not become a bundle.
    """
    folder = gathered(checkpoints, work / "given" / "parts")
    if bundle is not None:
        return SharedWeights(folder, bundle)
    with _export_extra():
        from clavilux.benchmarks.peers.exported import given_weights
    bundles = work / "given" / "bundles"
    return SharedWeights(folder, given_weights(folder, checkpoints.resolve().name, wanted, bundles, progress))


def gathered(checkpoints: Path, links: Path) -> Path:
    """Return a folder with PARTS in it: `checkpoints` itself, or `links`, made to lead to what lies in its `pipeline/`.

    Raises BenchError, naming the part that is missing.
    """
    places = {name: _place(checkpoints, name) for name in (*PARTS, *OPTIONAL)}
    if all(place is None or place.parent == checkpoints for place in places.values()):
        return checkpoints
    links.mkdir(parents=True, exist_ok=True)
    for name, place in places.items():
        (links / name).unlink(missing_ok=True)
        if place is not None:
            (links / name).symlink_to(place.resolve(), target_is_directory=place.is_dir())
    return links


def _place(checkpoints: Path, name: str) -> Path | None:
    for place in (checkpoints / name, checkpoints / PIPELINE / name):
        if place.exists():
            return place
    if name in OPTIONAL:
        return None
    raise BenchError(f"checkpoints {checkpoints} hold no {name}/; expected {', '.join(f'{part}/' for part in PARTS)}")


@contextmanager
def _export_extra() -> Iterator[None]:
    """Raise BenchError where an import finds that torch and the like are not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise BenchError(f"{error.name} is not installed; run: pip install 'clavilux[bench,cpu,export]'") from error
