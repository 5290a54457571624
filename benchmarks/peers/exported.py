"""Exporting checkpoints to the bundle that is measured against them. Needs the extra `export`; `weights` asks."""

from dataclasses import replace
from pathlib import Path

from safetensors import safe_open

from clavilux.benchmarks.peers.architectures import BUILDERS, CONDITIONING, write
from clavilux.benchmarks.peers.wanted import SharedWeights, Wanted
from clavilux.export.build import export_bundle
from clavilux.export.checkpoints.load import Sources
from clavilux.export.options import Options, Progress
from clavilux.runtime.bundle.manifest_json import MANIFEST
from clavilux.runtime.files import Record, describe_files

PROVED_STEPS = 4  # the proof compares whole runs up to this many


def random_weights(architecture: str, wanted: Wanted, work: Path, progress: Progress) -> SharedWeights:
    """Return weights of one of ARCHITECTURES and their bundle. Raises ExportError."""
    kind = BUILDERS[architecture]
    folder = work / architecture
    if not (folder / CONDITIONING).is_file():  # which is written last
        progress(f"writing random weights of {architecture}'s architecture to {folder}")
        write(kind, folder)
    options = Options(
        name=architecture,
        licence="Apache-2.0",
        window_samples=kind.window_samples,
        hop_samples=kind.hop_samples,
        picture=(kind.side, kind.side),
    )
    return SharedWeights(folder, _bundle(folder, folder / "bundles", options, wanted, progress))


def given_weights(folder: Path, name: str, wanted: Wanted, bundles: Path, progress: Progress) -> Path:
    """Return a bundle of given checkpoints, which listens as the reference does. Raises ExportError."""
    options = Options(name=name, licence="unspecified", concepts=numbered(folder / CONDITIONING))
    return _bundle(folder, bundles, options, wanted, progress)


def numbered(conditioning: Path) -> tuple[str, ...]:
    """Return a name for each concept that a conditioning holds: checkpoints do not tell their own."""
    if not conditioning.is_file():
        return ()
    with safe_open(conditioning, "numpy") as file:
        count = file.get_slice("concepts").get_shape()[0] if "concepts" in file.keys() else 0  # noqa: SIM118
    return tuple(f"concept {index}" for index in range(count))


def _bundle(folder: Path, bundles: Path, options: Options, wanted: Wanted, progress: Progress) -> Path:
    """Return a bundle of `folder` that can do what is wanted: one that was made before, or a new one."""
    options = _for(wanted, options)
    out = bundles / _name(options)
    key, record = [str(folder.resolve()), *_facts(options)], bundles / f"{out.name}.json"
    if not Record.trusted(record, key, out):
        progress(f"exporting {folder} to {out}")
        export_bundle(_sources(folder), out, options, progress)
        Record(key, describe_files(out, [out / MANIFEST])).write(record)  # which has the hashes of all others
    return out


def _for(wanted: Wanted, options: Options) -> Options:
    sides = [side for size in wanted.sizes for side in size]
    several = len(set(wanted.sizes)) > 1
    return replace(
        options,
        picture=wanted.sizes[0] if wanted.sizes else options.picture,
        sizes=(min(sides), max(sides)) if several else None,
        steps=wanted.steps,
        proof_steps=min(wanted.steps, PROVED_STEPS),
        layout="diffusers" if wanted.layout else None,
        batch=wanted.batch,
        overwrite=True,
    )


def _facts(options: Options) -> list[object]:
    shape = [options.picture, options.sizes, options.batch]
    return [*shape, options.steps, options.layout, options.window_samples, options.hop_samples]


def _name(options: Options) -> str:
    usual = f"{options.picture[1]}x{options.picture[0]}" if options.picture else "as-trained"
    size = f"{options.sizes[0]}-{options.sizes[1]}" if options.sizes else usual
    return f"{size}{f'-batch{options.batch}' if options.batch > 1 else ''}{'-layout' if options.layout else ''}"


def _sources(folder: Path) -> Sources:
    text, conditioning = folder / "text_encoder", folder / CONDITIONING
    return Sources(
        encoder=folder / "encoder",
        unet=folder / "unet",
        scheduler=folder / "scheduler",
        vae=folder / "vae",
        text_encoder=text if text.exists() else None,
        conditioning=conditioning if conditioning.exists() else None,
    )
