"""The manifest's JSON, read from outside and written.

Bounds of single fields stand on them, in `clavilux.runtime.bundle.manifest`; here is what several fields have to do
with each other.
"""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import msgspec

from clavilux.runtime.bundle.bounds import decode, show
from clavilux.runtime.bundle.manifest import (
    MANIFEST_FIELDS,
    MAX_LATENTS,
    MAX_PIXELS,
    AudioSpec,
    LatentSpec,
    Manifest,
    PictureSpec,
    ScheduleSpec,
    SizeSpec,
)
from clavilux.runtime.errors import BundleError

MANIFEST = "bundle.json"

FORMAT = 1
"""Version of the bundle's layout. A reader takes this one only."""


@dataclass(frozen=True)
class _Header:
    """The part of a manifest that every version has."""

    format: Any = None


def format_manifest(manifest: Manifest) -> str:
    """Return the JSON text of `manifest`."""
    values = asdict(manifest)
    everything = {"format": FORMAT} | {key: values[key] for key in MANIFEST_FIELDS}
    return json.dumps(everything, indent=1, allow_nan=False) + "\n"


def parse_manifest(text: str) -> Manifest:
    """Return the checked manifest in the JSON `text`.

    Unknown fields are left to later versions; of a key that stands twice in an object, the last one counts. Raises
    BundleError, naming the field, what was found and what was expected.
    """
    version = _version(text)
    if type(version) is not int or version != FORMAT:  # true and 1.0 equal it too
        raise BundleError(f"{MANIFEST} has format {show(version)}; this version of Clavilux reads {FORMAT}")
    manifest = decode(text, Manifest, MANIFEST)
    _check_audio(manifest.audio)
    _check_schedule(manifest.schedule)
    _check_picture(manifest.latents, manifest.picture)
    _check_memory(manifest)
    if manifest.sizes:
        _check_sizes(manifest.sizes, manifest.picture, manifest.picture.height // manifest.latents.height)
    if manifest.evidence.held_similarity < manifest.evidence.similarity:
        found = manifest.evidence
        raise BundleError(
            f"{MANIFEST}: evidence.held_similarity is {found.held_similarity}; expected {found.similarity} or more, "
            "what a short sound needs"
        )
    if manifest.steps not in manifest.schedule.timesteps:
        raise BundleError(f"{MANIFEST}: steps is {manifest.steps}; expected a number that the schedule has")
    return manifest


def _version(text: str) -> Any:
    """Return the format that a manifest tells; FORMAT for what is no JSON at all, of which `decode` says more."""
    try:
        return msgspec.json.decode(text, type=_Header).format
    except (ValueError, RecursionError):
        with suppress(ValueError, RecursionError):  # Python's reader takes numbers that msgspec refuses
            found = json.loads(text)
            return found.get("format") if isinstance(found, dict) else FORMAT
    return FORMAT


def _check_audio(audio: AudioSpec) -> None:
    hop, window = audio.hop_samples, audio.window_samples
    if hop > window:
        raise BundleError(f"{MANIFEST}: audio: hop_samples is {hop}; expected at most the window's {window}")


def _check_schedule(schedule: ScheduleSpec) -> None:
    where, last = f"{MANIFEST}: schedule: timesteps", len(schedule.alphas_cumprod) - 1
    if last < 0:
        raise BundleError(f"{MANIFEST}: schedule: alphas_cumprod is empty; expected one number per training step")
    if missing := set(range(1, max(schedule.timesteps, default=1) + 1)).difference(schedule.timesteps):
        raise BundleError(f"{where}: {min(missing)} is missing; expected every number of steps up to the largest")
    for count, steps in schedule.timesteps.items():
        for i, step in enumerate(steps):
            if step > last:
                raise BundleError(f"{where}: {count}[{i}] is {step:g}; expected a number, 0 to {last}")
        if len(steps) != count or any(later >= earlier for earlier, later in pairwise(steps)):
            raise BundleError(f"{where}: {count} is {show(steps)}; expected {count} falling timesteps")


def _check_picture(latents: LatentSpec, picture: PictureSpec) -> None:
    factor = picture.height / latents.height
    if factor != picture.width / latents.width or factor != int(factor):
        raise BundleError(
            f"{MANIFEST}: a picture of {picture.height}x{picture.width} does not fit latents of "
            f"{latents.height}x{latents.width}; expected the same whole factor both ways"
        )


def _check_memory(manifest: Manifest) -> None:
    """Raise BundleError where the largest picture, or its latents, would take more memory than any in use do."""
    latents, picture, sizes = manifest.latents, manifest.picture, manifest.sizes
    pixels = picture.height * picture.width
    if pixels > MAX_PIXELS:
        raise BundleError(
            f"{MANIFEST}: a picture of {picture.height}x{picture.width} has {pixels} pixels; expected {MAX_PIXELS} at "
            "most, as 4096x4096 has"
        )
    most = min(sizes.largest**2, MAX_PIXELS) if sizes else pixels
    numbers = manifest.batch * latents.channels * (latents.height * latents.width * max(most, pixels) // pixels)
    if numbers > MAX_LATENTS:
        raise BundleError(
            f"{MANIFEST}: latents of {latents.channels} channels for {max(most, pixels)} pixels and a batch of "
            f"{manifest.batch} are {numbers} numbers; expected {MAX_LATENTS} at most"
        )


def _check_sizes(sizes: SizeSpec, picture: PictureSpec, factor: int) -> None:
    """Raise BundleError unless the usual size is one of `sizes`, and every one makes whole latents."""
    if sizes.multiple % factor:
        raise BundleError(f"{MANIFEST}: sizes: multiple is {sizes.multiple}; expected a multiple of {factor}")
    if sizes.largest < sizes.smallest:
        raise BundleError(f"{MANIFEST}: sizes: largest is {sizes.largest}; expected {sizes.smallest} or more")
    for side in (sizes.smallest, sizes.largest, picture.height, picture.width):
        if side % sizes.multiple or not sizes.smallest <= side <= sizes.largest:
            raise BundleError(
                f"{MANIFEST}: the side {side} does not fit sizes {sizes.smallest} to {sizes.largest}; expected "
                f"multiples of {sizes.multiple} between them"
            )
