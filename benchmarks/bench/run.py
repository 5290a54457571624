"""A whole benchmark, one part after the other; `clavilux.benchmarks.bench.command` says what is asked for.

Whatever may build engines comes first, so that the starts that are timed later find them built.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clavilux.benchmarks.bench.options import BenchOptions
from clavilux.benchmarks.bench.report import BenchReport
from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.measurements import ceiling, in_process, machine, startup, through_the_socket
from clavilux.benchmarks.measurements.in_process import Setting, StageTimes
from clavilux.benchmarks.measurements.serving import serving
from clavilux.benchmarks.peers.compare import Comparison, Experiment, compare
from clavilux.benchmarks.peers.process import PEERS
from clavilux.benchmarks.peers.wanted import LUMIA, SharedWeights, Wanted
from clavilux.benchmarks.peers.weights import given, make
from clavilux.export.options import Progress
from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.commands.options import parameters_from
from clavilux.runtime.control.parameters import Parameters
from clavilux.runtime.instrument import Instrument
from clavilux.runtime.loading import DEFAULT_BUNDLE, open_instrument
from clavilux.runtime.placement.devices import AUTO
from clavilux.runtime.playing.pacing import MAX_FRAME_RATE

STEPS = (1, 2, 4)  # measured where nothing else is asked for
MAX_START_SECONDS = 1800.0  # s: a server may build engines first


def describe_host(progress: Progress) -> machine.Machine:
    """Return what is known of this machine, after a loud line if others use it."""
    host = machine.describe()
    if loud := machine.warning(host):
        progress(loud)
    return host


def open_asked(asked: BenchOptions, weights: SharedWeights | None) -> tuple[Path, Instrument, Parameters]:
    """Return the folder of the asked bundle, its instrument, and the asked parameters.

    Raises BundleError, ProviderError, ParameterError.
    """
    folder = weights.bundle if weights else asked.bundle or DEFAULT_BUNDLE
    instrument = open_instrument(folder, device=asked.device, threads=asked.threads)
    return folder, instrument, instrument.defaults.merge(parameters_from(list(asked.values)), instrument.ranges)


def measure(asked: BenchOptions, progress: Progress) -> BenchReport:
    """Measure everything that is asked for. Raises ClaviluxError for what cannot be measured here."""
    host = describe_host(progress)
    weights = find_weights(asked, progress)
    bundle, instrument, parameters = open_asked(asked, weights)
    settings = settings_for(instrument.bundle, asked)
    measured = _stages(instrument, settings, parameters, asked.seconds, progress)
    limits, reached = _ceiling(instrument.bundle, measured[0], asked, progress)
    opened, provider = instrument.bundle, instrument.models.provider
    rate = parameters.frame_rate or MAX_FRAME_RATE
    del instrument  # and what it holds on the card
    words = serve_words(bundle, settings[0], opened, asked)
    started, shown, browser = _served(words, asked, progress)
    return BenchReport(
        machine=host,
        bundle=opened.name,
        provider=provider,
        threads=asked.threads,
        stages=measured,
        ceiling=limits,
        reached=reached,
        start_up=started,
        socket=shown,
        frame_rate=rate,
        browser=browser,
        comparison=_compared(weights, settings, host.cores, asked, progress) if weights and asked.peers else None,
    )


def find_weights(asked: BenchOptions, progress: Progress) -> SharedWeights | None:
    """Return the checkpoints and their bundle, made if need be; None where a bundle alone is measured.

    Raises BenchError for what contradicts itself or is missing.
    """
    wanted = Wanted(
        sizes=asked.sizes,
        steps=max(asked.steps, default=1),
        layout=any(PEERS[name].needs_layout and name in asked.pythons for name in asked.peers),
    )
    work = asked.out / "work"
    if asked.checkpoints is not None:
        if asked.architecture is not None:
            raise BenchError("--checkpoints and --architecture are both given; expected one of them")
        return given(asked.checkpoints, asked.bundle, wanted, work, progress)
    if asked.bundle is not None:
        if asked.architecture is not None or asked.peers:
            raise BenchError("--bundle alone holds no weights for peers; give the --checkpoints it was exported from")
        return None
    if asked.architecture is None and not asked.peers:
        return None
    return make(asked.architecture or LUMIA, wanted, work, progress)


def settings_for(bundle: Bundle, asked: BenchOptions) -> tuple[Setting, ...]:
    """Return all sizes with all steps. Raises BenchError for a size or steps that the bundle cannot have."""
    usual = (bundle.picture.height, bundle.picture.width)
    if bundle.sizes is None and any(size != usual for size in asked.sizes):
        told = f"{usual[1]}x{usual[0]}"
        raise BenchError(f"bundle {bundle.name} paints {told} alone; export one with --sizes, or use --architecture")
    most = max(bundle.schedule.timesteps)
    wrong = [count for count in asked.steps if count not in bundle.schedule.timesteps]
    if wrong:
        raise BenchError(f"bundle {bundle.name} has no {wrong[0]} steps; expected 1 to {most}")
    counts = asked.steps or tuple(count for count in STEPS if count <= most)
    return tuple(Setting(*size, count) for size in asked.sizes or (usual,) for count in counts)


def serve_words(folder: Path, setting: Setting, bundle: Bundle, asked: BenchOptions) -> list[str]:
    """Return the options of `clavilux serve` for this setting."""
    words = ["--bundle", str(folder), "--device", asked.device, "--threads", str(asked.threads)]
    values = [*asked.values, f"steps={setting.steps}"]
    if bundle.sizes is not None:
        values += [f"height={setting.height}", f"width={setting.width}"]
    return words + [word for value in values for word in ("--set", value)]


def _stages(
    instrument: Instrument, settings: Sequence[Setting], parameters: Parameters, seconds: float, progress: Progress
) -> tuple[StageTimes, ...]:
    measured = []
    for setting in settings:
        progress(f"stages: {setting}")
        measured.append(in_process.measure(instrument, setting, parameters, seconds))
    return tuple(measured)


def _ceiling(
    bundle: Bundle, first: StageTimes, asked: BenchOptions, progress: Progress
) -> tuple[ceiling.Ceiling | None, tuple[ceiling.Reached, ...]]:
    if "ceiling" in asked.without:
        return None, ()
    progress("ceiling: bare products")
    device = "cpu" if asked.device.lower().partition(":")[0] == AUTO else asked.device
    limits = ceiling.measure_ceiling(device, asked.threads, bundle.precision.arithmetic)
    setting = first.setting
    works = ceiling.works(bundle, setting.height, setting.width, setting.steps)
    return limits, tuple(ceiling.reached(name, work, first.stages[name].p50, limits) for name, work in works.items())


def _served(
    words: list[str], asked: BenchOptions, progress: Progress
) -> tuple[startup.StartUp | None, through_the_socket.Shown | None, dict[str, float] | None]:
    started, shown, browser = None, None, None
    if "startup" not in asked.without:
        progress("start-up")
        started = startup.measure(words)
    if "socket" not in asked.without:
        progress("through the socket")
        with serving(words, MAX_START_SECONDS) as server:
            shown = through_the_socket.measure(server, asked.seconds, asked.sound)
    if asked.browser:
        progress("in Chromium")
        browser = _in_a_browser(words, asked)
    return started, shown, browser


def _in_a_browser(words: list[str], asked: BenchOptions) -> dict[str, float]:
    if asked.sound is None:
        raise BenchError("--browser needs --sound FILE.wav, which its microphone plays")
    try:
        from clavilux.benchmarks.measurements import browser as heard_to_shown
    except ModuleNotFoundError as error:
        raise BenchError(f"{error.name} is not installed; run: pip install playwright, and install Chromium") from error
    told: dict[str, Any] = vars(heard_to_shown.measure(asked.sound, asked.seconds, words))
    return {"frame_rate": told["frames_per_second"], "p50": told["p50_ms"], "p95": told["p95_ms"]}


def _compared(
    weights: SharedWeights, settings: tuple[Setting, ...], cores: int, asked: BenchOptions, progress: Progress
) -> Comparison:
    experiment = Experiment(
        weights=weights,
        peers=asked.peers,
        pythons=asked.pythons,
        python=Path(sys.executable),
        settings=settings,
        rounds=asked.rounds,
        device=asked.device,
        threads=asked.threads or cores,
        work=asked.out / "work" / "compare",
    )
    return compare(experiment, progress)
