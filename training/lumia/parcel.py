"""A parcel: what a training has finished, in few small files, for the way home from a machine that is lent.

    python -m clavilux.training.lumia.parcel PARCEL WORK     # at home: unwraps into WORK, where `make` goes on

Eight files of 16 MB at most. Weights travel in float16, as the bundle keeps them, and are float32 again at home,
rounded once. A phase that is not finished comes along with its whole checkpoint where there is room for that, else it
is left out, and the log says so. The parts are a tar file, cut; `parcel.json` has their hashes.
"""

import argparse
import io
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.files import Record, describe_files, written_whole
from clavilux.runtime.providers.session import first_line
from clavilux.training.command_line import LOG, command
from clavilux.training.lumia.models import bundled_ear
from clavilux.training.lumia.models.train_loop import trained
from clavilux.training.lumia.phases import done_record, times_record

PART_BYTES = 16_000_000
MAX_FILES = 8  # parcel.json is one of them
ENTRY_BYTES = 4 * tarfile.BLOCKSIZE  # what a file takes in an archive beside its content, at most
INDEX = "parcel.json"
CODEC = "vae_first"  # in the work folder: the autoencoder that the scenes are encoded by
NOTES = {"ear": (bundled_ear.NOTE,)}  # what a checkpoint needs beside it
HALVED = (".safetensors", ".pt")  # files whose weights travel in float16
KEY = ["clavilux.training.lumia parcel", 1]
PRODUCTS = {
    "words": ("text_encoder", "tokenizer", "table.safetensors"),
    "practice": ("encoder",),
    "polish": ("polished", "scheduler"),
    # where it is done, nothing needs the scenes and heard tokens any more: they are done for good
    "finish": ("unet", "vae", "pictures.done.json", "scenes.done.json", "heard.done.json"),
    "judge": ("judge", "judge.json", "judge_second", "judge_second.json"),
    "reader": ("reader", "reader.json"),
    "conditioning": ("conditioning.safetensors",),
    "ear": ("encoder_first", "ear.pt", bundled_ear.NOTE),
    "codec": (CODEC,),
    "maker": ("maker",),
}
"""Files and folders that a phase leaves for those after it and for the bundle, the most wanted first. Others are made
again at home, from the data there."""

Files = dict[str, bytes]


def wrap(work: Path, out: Path) -> list[Path]:
    """Write what is finished in `work` as the folder `out`, and return its files. Raises ClaviluxError."""
    check_place(out)
    room = PART_BYTES * (MAX_FILES - 1)
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, files in _parcels(work):
            size = sum(len(data) + ENTRY_BYTES for data in files.values())
            if content.tell() + size + tarfile.RECORDSIZE > room:
                LOG.warning("%s is left out of the parcel: %.1f MB, for which there is no room", name, size / 1e6)
                continue
            for path, data in files.items():
                _add(archive, work / path, path, data)
    whole = content.getbuffer()
    with written_whole(out) as folder:
        folder.mkdir()
        parts = [folder / f"parcel.{number:03d}" for number in range(-(-len(whole) // PART_BYTES))]
        for number, part in enumerate(parts):
            part.write_bytes(whole[number * PART_BYTES : (number + 1) * PART_BYTES])
        Record(KEY, describe_files(folder, parts)).write(folder / INDEX)
    return sorted(out.iterdir())


def check_place(out: Path) -> None:
    """Raise ClaviluxError unless a parcel may be written to `out`: it replaces what is there."""
    if out.exists() and not (out / INDEX).is_file():
        raise ClaviluxError(f"{out} is there and no parcel; expected a new folder, or a parcel to replace")


def unwrap(parcel: Path, work: Path) -> None:
    """Put what a parcel holds into `work`: all of it or, where something is wrong, nothing.

    Raises ClaviluxError when a part is missing or damaged, or `work` has finished a phase that the parcel brings.
    """
    content = io.BytesIO(_content(parcel))
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".parcel-", dir=work) as name:
        folder = Path(name)
        try:
            names = _unpack(content, folder)
        except (tarfile.TarError, OverflowError, ValueError) as error:
            raise _damaged(parcel, first_line(error)) from error
        _refuse_finished(parcel, names, work)
        if any(name.is_relative_to(CODEC) for name in names):  # latents of another autoencoder mean nothing to it
            done_record(work, "scenes").unlink(missing_ok=True)
            for latents in (work / "scenes").glob("latents-*"):
                latents.unlink()
        for one in sorted(names, key=lambda one: one.match("*.done.json")):  # records last: they vouch for the others
            (work / one).parent.mkdir(parents=True, exist_ok=True)
            (folder / one).replace(work / one)


def _unpack(content: io.BytesIO, folder: Path) -> list[Path]:
    """Unpack a parcel's tar file, and return the names of its files. Raises TarError, OverflowError or ValueError."""
    with tarfile.open(fileobj=content, mode="r:") as archive:
        archive.extractall(folder, filter="data")
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    for path in paths:
        _widen(path)
    return [path.relative_to(folder) for path in paths]


def _refuse_finished(parcel: Path, names: Iterable[Path], work: Path) -> None:
    """Raise ClaviluxError when the parcel would overwrite what a phase that is finished in `work` has left."""
    brought = {work / name for name in names}
    records = {name: done_record(work, name) for name in PRODUCTS}
    finished = [
        record
        for name, record in records.items()
        if record.exists() and brought & {record, times_record(work, name), work / f"{name}.pt"}
    ]
    if finished:
        there = ", ".join(record.name for record in finished)
        raise ClaviluxError(
            f"{work} has finished what {parcel} brings too ({there}); "
            "unwrap it into another folder, or delete these records first, to have it overwritten"
        )


def _content(parcel: Path) -> bytes:
    """Return the tar file that a parcel is. Raises ClaviluxError when a part is missing or damaged."""
    try:
        record = Record.read(parcel / INDEX)
    except (OSError, ValueError) as error:
        raise ClaviluxError(f"{parcel} is no parcel ({error}); expected the folder that `make --set` wrote") from error
    damage = record.damage(parcel) if record.is_for(KEY) else "it is of another version"
    if damage:
        raise _damaged(parcel, damage)
    return b"".join((parcel / name).read_bytes() for name in sorted(record.files))


def _damaged(parcel: Path, damage: str) -> ClaviluxError:
    return ClaviluxError(f"{parcel} is damaged: {damage}; fetch it again")


def _parcels(work: Path) -> Iterator[tuple[str, Files]]:
    """Yield each phase's files: those of finished ones, then the checkpoints of others."""
    finished = [name for name in PRODUCTS if done_record(work, name).exists()]
    for name in finished:
        yield name, _halved(work, [done_record(work, name), *(work / product for product in PRODUCTS[name])])
    for name in PRODUCTS:
        checkpoint = work / f"{name}.pt"
        if name not in finished and checkpoint.exists():
            notes = (work / note for note in NOTES.get(name, ()))
            files = [one for one in (times_record(work, name), checkpoint, *notes) if one.exists()]
            yield name, {one.relative_to(work).as_posix(): one.read_bytes() for one in files}


def _halved(work: Path, places: list[Path]) -> Files:
    """Return the files at some places, and below them, with their weights in float16 and without optimisers."""
    paths = [path for place in places for path in sorted(place.rglob("*")) or [place] if path.is_file()]
    return {path.relative_to(work).as_posix(): _recast(path, torch.float32, torch.float16) for path in paths}


def _widen(path: Path) -> None:
    """Bring a file's weights back to float32; checkpoints that can be gone on from are whole, and stay.

    Raises ValueError when they are no weights.
    """
    try:
        if path.suffix not in HALVED or (path.suffix == ".pt" and "optimizers" in torch.load(path, weights_only=True)):
            return
        content = _recast(path, torch.float16, torch.float32)
    except Exception as error:  # of any kind: torch unpickles; its words are advice to load what may do anything
        raise ValueError(f"{path.name} holds no weights") from error
    with written_whole(path) as part:
        part.write_bytes(content)


def _recast(path: Path, given: torch.dtype, wanted: torch.dtype) -> bytes:
    """Return a file with its tensors of one type in another; of a checkpoint the averaged weights alone are kept."""

    def cast(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: one.to(wanted) if one.dtype == given else one for name, one in tensors.items()}

    if path.suffix == ".safetensors":
        return safetensors.torch.save(cast(safetensors.torch.load_file(path)), metadata={"format": "pt"})
    if path.suffix == ".pt":
        file = io.BytesIO()
        torch.save({"average": cast(trained(path))}, file)
        return file.getvalue()
    return path.read_bytes()


def _add(archive: tarfile.TarFile, path: Path, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime = len(content), path.stat().st_mtime  # the order in which phases finished
    archive.addfile(entry, io.BytesIO(content))


def main() -> None:
    """Read the command line and unwrap."""
    parser = argparse.ArgumentParser(description="Unwrap a parcel of a training into its work folder at home.")
    parser.add_argument("parcel", type=Path, metavar="PARCEL", help="folder that `make --set` wrote")
    parser.add_argument("work", type=Path, metavar="WORK", help="of clavilux.training.lumia.make")
    options = parser.parse_args()
    unwrap(options.parcel, options.work)
    begun = options.work / bundled_ear.NOTE
    ear = " --ear OLD" if begun.exists() and begun.read_text() != bundled_ear.SCRATCH else ""
    print(
        f"{options.work} has it; go on: python -m clavilux.training.lumia.make --work {options.work} --out BUNDLE{ear}"
    )


if __name__ == "__main__":
    sys.exit(command("parcel", main))
