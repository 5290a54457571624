"""The plan of an export, settled from configurations alone: what cannot fit fails here, before any weight is read."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from clavilux.export.checkpoints.configuration import read_model_config
from clavilux.export.checkpoints.load import PreparedTokenizer, Sources, load_tokenizer
from clavilux.export.checkpoints.locate import Config, Where, join, origin, read_config, revision
from clavilux.export.checkpoints.pipeline import SCHEDULER_CONFIG, averaged_notes, check_pipeline, scheduler_notes
from clavilux.export.models.audio_encoder import check_encoder, max_frames, token_count, token_width
from clavilux.export.models.conditioning import Embedding, check_concepts, check_shapes, read_given
from clavilux.export.models.decoder import block_side, check_latents, check_vae, upscaling
from clavilux.export.models.denoiser import check_unet, downscaling, trained_size
from clavilux.export.models.feature_extractor import FeatureSettings, read_feature_settings
from clavilux.export.models.schedule import ReadSchedule, ScheduleChoice, read_schedule
from clavilux.export.models.text_encoder import (
    TextTokens,
    check_length,
    check_text_encoder,
    check_vocabulary,
    text_tokens,
)
from clavilux.export.options import Options, check_options, check_window
from clavilux.export.spec import Axis, Component
from clavilux.runtime.bundle.manifest import LatentSpec, ScheduleSpec, SizeSpec, Source
from clavilux.runtime.errors import ExportError


@dataclass(frozen=True)
class Plan:
    """Everything that is known before weights are loaded."""

    sources: Sources
    options: Options
    features: FeatureSettings  # as the options have them, or else the encoder's
    width: int  # of a token
    frames: int  # padded length of a window
    count: int  # tokens of a prompt, BOS included
    picture: tuple[int, int]  # height, width in pixels
    latents: LatentSpec
    schedules: ReadSchedule
    vae_class: str
    sizes: SizeSpec | None
    text: TextTokens | None  # of the text encoder, if there is one
    given: Mapping[str, Embedding]
    notes: tuple[str, ...] = ()  # what one should know before hours of work

    @property
    def schedule(self) -> ScheduleSpec:
        """The scheduler's numbers."""
        return self.schedules.spec

    @property
    def vae_factor(self) -> int:
        """Pixels that one latent spans on each side."""
        return self.picture[0] // self.latents.height

    @property
    def words(self) -> Where | None:
        """Tokenizer of the words that can be typed; None where none can."""
        return self.sources.tokenizer if self.text is not None and self.sources.words else None


def make_plan(sources: Sources, options: Options) -> Plan:
    """Read all configurations and check them against each other.

    Raises ExportError, naming what was found and what was expected.
    """
    check_options(options)
    check_pipeline(sources)
    encoder = read_model_config(sources.encoder, "encoder")
    check_encoder(encoder, sources.encoder)
    features = _features(sources, options)
    vae = read_model_config(sources.vae, "vae")
    check_vae(vae, sources.vae)
    _check_layout(options.layout, vae, sources.vae)
    width, channels = token_width(encoder), vae["latent_channels"]
    unet = read_model_config(sources.unet, "unet")
    check_unet(unet, sources.unet, width=width, latent_channels=channels)
    trained = read_config(sources.scheduler, "scheduler", SCHEDULER_CONFIG)
    choice = ScheduleChoice(options.schedule, options.spacing, options.steps)
    picture = options.picture or trained_size(unet, upscaling(vae))
    frames = max_frames(features.window_samples)
    count = token_count(encoder, frames) + 1
    text = _read_text(sources, width, count)
    return Plan(
        sources=sources,
        options=options,
        features=features,
        width=width,
        frames=frames,
        count=count,
        picture=picture,
        latents=_latents(picture, channels, upscaling(vae)),
        schedules=read_schedule(trained, sources.scheduler, choice),
        vae_class=vae["_class_name"],
        sizes=_sizes(options.sizes, picture, upscaling(vae) * downscaling(unet)),
        text=text,
        given=_given(sources.conditioning, options, (count, width), has_text=text is not None),
        notes=tuple(_notes(sources, trained, vae, text)),
    )


def _check_layout(layout: str | None, vae: Config, where: Where) -> None:
    """Raise ExportError where other programs would not know what the autoencoder's channels mean."""
    block = block_side(vae)
    if layout is not None and block > 1:
        raise ExportError(
            f"vae {where} makes blocks of {block}x{block} pixels, which programs of the layout {layout!r} do not know; "
            "expected one of 3 channels, or no layout"
        )


def _given(
    where: Where | None, options: Options, prompt: tuple[int, int], *, has_text: bool
) -> Mapping[str, Embedding]:
    """Return the embeddings that are given, which fit a prompt [tokens, width]."""
    given = read_given(where)
    check_concepts(given, options.concepts)
    check_shapes(given, *prompt)
    if not has_text and "bos" not in given:
        raise ExportError("there is no BOS embedding; give a text encoder, or a conditioning file that holds 'bos'")
    return given


def _notes(sources: Sources, scheduler: Config, vae: Config, text: TextTokens | None) -> Iterator[str]:
    """Yield what one should know of the checkpoints before hours of work."""
    yield from sources.notes
    yield from averaged_notes(sources)
    yield from scheduler_notes(sources, scheduler)
    yield from _check_vae_family(sources, vae)
    if text is not None and text.doubt:
        yield f"text encoder: {text.doubt}"


def _features(sources: Sources, options: Options) -> FeatureSettings:
    """Return the settings of the front end; what the options say goes before what stands beside the encoder."""
    told = read_feature_settings(sources.encoder)
    window = told.window_samples if options.window_samples is None else options.window_samples
    features = replace(told, window_samples=window, lead_in=options.lead_in or told.lead_in)
    check_window(features.window_samples, options.hop_samples)
    return features


def _check_vae_family(sources: Sources, vae: Config) -> Iterator[str]:
    """Yield what one should know of the autoencoder; the pipeline's own, if there is one, tells what fits."""
    pipeline, own, place = sources.pipeline(), None, None
    if pipeline is not None:
        with suppress(ExportError):  # then the family tells
            place = join(pipeline, "vae")
            own = read_model_config(place, "vae")
            check_vae(own, place)
    if note := check_latents(vae, sources.vae, own, place):
        yield note


def _read_text(sources: Sources, width: int, count: int) -> TextTokens | None:
    """Return the text encoder's tokens, if there is one; where words can be typed, it must take `count` of them."""
    if sources.text_encoder is None:
        return None
    config = read_model_config(sources.text_encoder, "text encoder")
    check_text_encoder(config, sources.text_encoder, width)
    tokenizer = _read_tokenizer(sources)
    tokens = text_tokens(config, tokenizer)
    if sources.words and tokenizer is not None:
        check_vocabulary(tokenizer, tokens, sources.tokenizer)
        check_length(config, count)
    return tokens


def _read_tokenizer(sources: Sources) -> PreparedTokenizer | None:
    """Return the tokenizer; where no words can be typed it may be missing, as its BOS can be guessed."""
    if sources.tokenizer is None:
        return None
    try:
        return load_tokenizer(sources.tokenizer)
    except ExportError:
        if sources.words:
            raise
        return None


def _latents(picture: tuple[int, int], channels: int, factor: int) -> LatentSpec:
    height, width = picture
    if min(height, width) < factor or height % factor or width % factor:
        raise ExportError(f"the picture is {height}x{width}; expected multiples of {factor}, the vae's, and no less")
    return LatentSpec(channels, height // factor, width // factor)


def _sizes(sizes: tuple[int, int] | None, picture: tuple[int, int], multiple: int) -> SizeSpec | None:
    """Return what sizes the graphs will take, every side a multiple of what the UNet and the VAE halve."""
    if sizes is None:
        return None
    smallest, largest = sizes
    for side in (smallest, largest, *picture):
        if side % multiple or not smallest <= side <= largest:
            raise ExportError(
                f"the size {side} does not fit sizes from {smallest} to {largest}; expected multiples of {multiple} "
                "between them"
            )
    return SizeSpec(smallest, largest, multiple)


def sources_for_manifest(sources: Sources) -> tuple[Source, ...]:
    """Return one entry per checkpoint of which the bundle holds something, without any path of this machine."""
    return tuple(
        Source(role, origin(where), revision(where))
        for role, where in sources.checkpoints().items()
        if role != "tokenizer" or sources.words
    )


def latent_shapes(plan: Plan) -> list[tuple[int, ...]]:
    """Return the shapes to prove a graph on, the usual one last.

    With open sizes a small one comes first, which is traced: not square, and not of one block, which torch would fix.
    """
    latents, sizes = plan.latents, plan.sizes
    usual = (1, latents.channels, latents.height, latents.width)
    if sizes is None or sizes.smallest == sizes.largest:
        return [usual]
    block = sizes.multiple // plan.vae_factor
    low, high = (side // sizes.multiple for side in (sizes.smallest, sizes.largest))
    traced = max(2, low), min(max(2, low) + 1, high)
    sides = [traced, (low, low)] if low == 1 else [traced]
    return [*((1, latents.channels, height * block, width * block) for height, width in sides), usual]


def opened(plan: Plan, component: Component) -> Component:
    """Return the component with the axes open that may differ from run to run."""
    sizes, batch = plan.sizes, plan.options.batch
    axes = [Axis("batch", 1, batch)] if batch > 1 else []
    if sizes is not None and sizes.smallest < sizes.largest:
        low, high = sizes.smallest // sizes.multiple, sizes.largest // sizes.multiple
        sides = {"height": sizes.multiple, "width": sizes.multiple}
        sides |= {f"latent_{side}": multiple // plan.vae_factor for side, multiple in sides.items()}
        named = {axis for port in component.inputs for axis in port.axes}
        axes += [Axis(name, low, high, multiple) for name, multiple in sides.items() if name in named]
    return replace(component, open_axes=tuple(axes))


def proof_steps(options: Options) -> list[int]:
    """Return the numbers of steps whose whole runs are compared with diffusers': one, and the usual one."""
    return sorted({1, max(2, min(options.steps, options.proof_steps))})
