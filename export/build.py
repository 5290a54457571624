"""Checkpoints become a bundle, with the proof that it equals them. `clavilux export` is this on the command line.

    sources = Sources.from_pipeline("my/encoder", "stabilityai/sd-turbo")
    export_bundle(sources, "my/bundle", Options(name="mine", licence="Apache-2.0"))

One component is in memory at a time, and what is finished is not made again after a stop
(`clavilux.export.work.resume`). The proof compares each graph with torch, and whole pictures with diffusers' pipeline.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from clavilux.export.checkpoints.load import Sources, empty_unet
from clavilux.export.checkpoints.locate import Where, names_file, revision
from clavilux.export.checkpoints.lora import check_loras
from clavilux.export.checkpoints.single_file import unpack_single_files
from clavilux.export.checkpoints.weights import Loading, find_weights, seen_weights, silent, weights_bytes
from clavilux.export.diffusers_layout.write import FOLDER
from clavilux.export.given_unet import check_onnx_unet, find_onnx_unet
from clavilux.export.graphs.convert import free_memory
from clavilux.export.options import Options, Progress
from clavilux.export.outline import outline
from clavilux.export.parts import Parts
from clavilux.export.phases import Phases
from clavilux.export.plan import Plan, make_plan, sources_for_manifest
from clavilux.export.proof import Proof
from clavilux.export.spec import (
    AUDIO_ENCODER_GRAPH,
    DECODER_GRAPH,
    DENOISER_GRAPH,
    IMAGE_ENCODER_GRAPH,
    TEXT_ENCODER_GRAPH,
)
from clavilux.export.work.resume import Arrays, FinishedPhases, Made, fingerprint, state_of
from clavilux.export.work.staging import WorkFolder, check_place, check_room, staged
from clavilux.runtime.bundle.bundle import CONDITIONING, Bundle, write_manifest
from clavilux.runtime.bundle.graphs import TOKENIZER
from clavilux.runtime.bundle.manifest import (
    ArithmeticChoice,
    AudioSpec,
    EvidenceSpec,
    Manifest,
    PictureSpec,
    PrecisionSpec,
    TokenSpec,
)
from clavilux.runtime.errors import ExportError
from clavilux.runtime.sound.format import MEL_BINS, SAMPLE_RATE

__all__ = ["Options", "Report", "Sources", "export_bundle"]

LAYOUT_ROLES = ("unet", "vae", "text_encoder")  # checkpoints that a layout writes once more
WEIGHTY = ("encoder", "unet", "vae", "text_encoder")
LIBRARIES = ("clavilux", "torch", "transformers", "diffusers", "onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Report:
    """The bundle, and what each phase took."""

    bundle: Bundle
    stages: dict[str, Made]


def export_bundle(sources: Sources, out: Path | str, options: Options, progress: Progress | None = None) -> Bundle:
    """Write the bundle of `sources` to the folder `out` and return it opened; `progress` is told each step in words.

    Raises ExportError when the checkpoints do not fit together, cannot be read, or the proof fails; then nothing is
    left at `out`. Stopped from outside, it goes on where it was when it is called again with the same arguments.
    """
    return run_export(sources, out, options, progress).bundle


def run_export(
    sources: Sources,
    out: Path | str,
    options: Options,
    progress: Progress | None = None,
    *,
    announce: Progress = silent,
) -> Report:
    """Do what `export_bundle` does, and also return what each phase took.

    `announce` hears the outline of the whole before the long work begins.
    """
    out, report, needed = Path(out), progress or silent, room_needed(sources, options)
    check_room(out, needed)
    with staged(out, overwrite=options.overwrite) as work:
        plan = settle(unpacked(sources, work, report), options, report)
        announce(outline(plan, needed))
        check_weights(plan.sources, report)
        check_room(out, room_needed(sources, options))  # now that all of it is here
        told = options.sources or sources_for_manifest(sources)
        plan = replace(plan, options=replace(plan.options, sources=told))
        finished = FinishedPhases(work.finished, work.bundle, fingerprint(_facts(sources, plan)), report)
        export = _Export(plan, work, finished, report)
        export.run()
        write_manifest(work.bundle, export.manifest())
        Bundle.open(work.bundle)
    return Report(Bundle.open(out), finished.phases)


def dry_run(sources: Sources, out: Path | str, options: Options, progress: Progress | None = None) -> str:
    """Return the outline of an export, and make nothing of it; weights are looked for, and not fetched.

    Raises ExportError where the export would before its long work.
    """
    out, report, needed = Path(out), progress or silent, room_needed(sources, options)
    check_place(out, overwrite=options.overwrite)
    check_room(out, needed)
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        plan = settle(unpack_single_files(sources, Path(folder), weights=False), options, report)
        check_weights(sources, report, unet=plan.sources.unet, fetches=False)
        return outline(plan, needed)


def settle(sources: Sources, options: Options, report: Progress) -> Plan:
    """Return the plan of an export; `report` hears what one should know before hours of work."""
    plan = make_plan(sources, options)
    for note in plan.notes:
        report(note)
    check_onnx_unet(plan)
    return plan


def check_weights(sources: Sources, report: Progress, *, unet: Where | None = None, fetches: bool = True) -> None:
    """Fetch what is not here yet; raise ExportError when weights are missing, before an hour is spent on others.

    Without `fetches` they are only looked for, and single files are left alone; `unet` is where its configuration is.
    """
    loading: Loading = {"allow_pickle": sources.allow_pickle, "variant": sources.variant, "report": report}
    found = [
        find_weights(where, name, **loading).variant
        if fetches or Path(where).exists()
        else seen_weights(where, name, **loading).variant
        for name, where in _weighty(sources).items()
        if fetches or not names_file(where)
    ]
    if sources.variant and sources.variant not in found:
        raise ExportError(f"no checkpoint has weights of the variant {sources.variant!r}; leave --variant out")
    if sources.lora:
        empty = empty_unet(unet or sources.unet)
        check_loras(sources.lora, empty, allow_pickle=sources.allow_pickle, report=report)


def _weighty(sources: Sources) -> dict[str, Where]:
    """Return the checkpoints that have weights, by what their role is called."""
    return {
        role.replace("_", " "): where
        for role, where in sources.checkpoints().items()
        if role in WEIGHTY and not (role == "unet" and find_onnx_unet(where))
    }


def _facts(sources: Sources, plan: Plan) -> dict[str, object]:
    """Return all that the phases depend on: options, checkpoints and the libraries that read them."""
    states = {role: (str(where), revision(where), state_of(where)) for role, where in sources.checkpoints().items()}
    options = replace(plan.options, overwrite=False)
    versions = {name: version(name) for name in LIBRARIES}
    return {"options": vars(options), "checkpoints": states, "sources": vars(sources), "libraries": versions}


def room_needed(sources: Sources, options: Options) -> int:
    """Return how many bytes an export needs while it works.

    That is the bundle, the largest part in float32 twice, and a layout in float32.
    """
    sizes = {role: _stored_bytes(role, where, sources.variant) for role, where in sources.checkpoints().items()}
    again = sum(size for role, size in sizes.items() if options.layout and role in LAYOUT_ROLES)
    return sum(sizes.values()) + 2 * max(sizes.values()) + again


def _stored_bytes(role: str, where: Path | str, variant: str) -> int:
    graph = find_onnx_unet(where) if role == "unet" else None
    return graph.bytes if graph else weights_bytes(where, role, variant)


def _read_record(path: Path) -> dict[str, Any]:
    """Return what was unpacked, or nothing when that was cut off."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found


def unpacked(sources: Sources, work: WorkFolder, report: Progress) -> Sources:
    """Return `sources` with single files unpacked into folders, which a stopped export may have left."""
    folder = work.root / "unpacked"
    record = folder / "record.json"
    places = sources.checkpoints() | {"configuration": sources.single_file_config or ""}
    key = fingerprint({role: (str(where), state_of(where) if where else []) for role, where in places.items()})
    found = _read_record(record)
    if found.get("key") == key:
        return replace(sources, **found["unpacked"])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    result = unpack_single_files(sources, folder, report)
    unpacked = {name: value for name, value in vars(result).items() if value != getattr(sources, name)}
    record.write_text(json.dumps({"key": key, "unpacked": unpacked}, default=str))
    return result


@dataclass(frozen=True)
class _Export:
    """The phases of one export, in order."""

    plan: Plan
    work: WorkFolder
    finished: FinishedPhases
    report: Progress

    def run(self) -> None:
        """Make everything but the manifest."""
        plan, phases = self.plan, Phases(Parts(self.plan, self.report), self.work)
        bos = None
        if (text := plan.text) is not None:
            bos = self._phase(
                "text_encoder", lambda proof: phases.text_encoder(proof, text), TEXT_ENCODER_GRAPH.file, TOKENIZER
            )["bos"]
        heard = self._phase(
            "audio_encoder", lambda proof: phases.audio_encoder(proof, bos), AUDIO_ENCODER_GRAPH.file, CONDITIONING
        )
        latents = self._phase("denoiser", lambda proof: phases.denoiser(proof, heard), DENOISER_GRAPH.file)
        self._phase("decoder", lambda proof: phases.decoder(proof, latents), DECODER_GRAPH.file)
        if plan.options.image_encoder:
            self._phase("encoder_image", phases.image_encoder, IMAGE_ENCODER_GRAPH.file)
        if plan.options.layout:
            self._phase("layout", phases.layout, FOLDER)

    def _phase(self, name: str, make: Callable[[Proof], Arrays], *files: str) -> Arrays:
        """Return what a phase makes, or has made before a stop, of a scratch folder that no other phase has used."""

        def make_anew(proof: Proof) -> Arrays:
            self.work.clear_scratch()
            self.report(f"{name}: loading")
            arrays = make(proof)
            self.work.clear_scratch()
            free_memory()
            return arrays

        return self.finished.phase(name, make_anew, files)

    def manifest(self) -> Manifest:
        """Return all that `bundle.json` shall say."""
        plan, options, phases = self.plan, self.plan.options, self.finished.phases.values()
        heard = plan.features
        proofs = [made.proof for made in phases]
        choices = tuple(choice for proof in proofs for choice in proof.choices)
        kept = tuple(one for proof in proofs for one in proof.kept)
        files = {name: entry for made in phases for name, entry in made.files.items()}
        return Manifest(
            name=options.name,
            licence=options.licence,
            sources=options.sources,
            audio=AudioSpec(SAMPLE_RATE, heard.window_samples, options.hop_samples, MEL_BINS, heard.lead_in),
            tokens=TokenSpec(plan.count, plan.width),
            latents=plan.latents,
            picture=PictureSpec(*plan.picture),
            schedule=plan.schedule,
            precision=PrecisionSpec(_arithmetic(options, choices), options.storage, kept, choices),
            files={name: entry for name, entry in files.items() if "/" not in name},  # a layout is for others
            parity=tuple(figure for proof in proofs for figure in proof.figures),
            concepts=options.concepts,
            light="light" in plan.given,
            evidence=self._evidence(),
            steps=options.steps,
            guidance=options.guidance,
            sizes=plan.sizes,
            batch=options.batch,
        )

    def _evidence(self) -> EvidenceSpec:
        """Return what counts as a concept: as it was asked for, or as it was measured."""
        found = self.finished.phases["audio_encoder"].arrays.get("evidence")
        if self.plan.options.evidence or found is None:
            return self.plan.options.evidence or EvidenceSpec()
        similarity, held = found.tolist()
        return EvidenceSpec(similarity=similarity, held_similarity=held)


def _arithmetic(options: Options, choices: tuple[ArithmeticChoice, ...]) -> str:
    """Return what the bundle computes in: 8 bits only where a component took them."""
    if options.arithmetic == "int8" and all(choice.arithmetic != "int8" for choice in choices):
        return "float32"
    return options.arithmetic
