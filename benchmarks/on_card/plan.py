"""The plan: which steps there are, how long each may take, and how its result reads in a line.

A step is a module that is run. Its result is the last line that it prints as a JSON object.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Result = Mapping[str, Any]
HERE = "clavilux.benchmarks.on_card"
MEASURED = "4"  # seconds of playing


@dataclass(frozen=True)
class Step:
    """One step."""

    name: str
    limit: float  # s
    words: tuple[str, ...]  # module and arguments; (): it is left out
    told: Callable[[Result], str]  # its result in a line; raises KeyError where a result is not whole
    why: str = ""  # it is left out


def steps(bundle: Path, large: Path | None, skeletons: tuple[Path, ...] = ()) -> tuple[Step, ...]:
    """Return all steps in their order, what is asked first that the others need.

    `bundle` is of lumia's shape; `large`, if there is one, of the size that cards are for. `skeletons` among them are
    filled first.
    """
    fills = [
        Step(f"fill {one.name}", 90, (f"{HERE}.skeleton", "fill", str(one)), lambda found: f"{found['gib']} GiB")
        for one in skeletons
    ]
    asked = ("--bundle", str(bundle))
    return (
        Step("machine", 30, _measure("machine"), _machine),
        Step("copies", 30, _measure("copies"), _copies),
        *fills,
        Step("doctor", 60, ("clavilux", "doctor", "--json", "--device", "cuda", *asked), _doctor),
        Step("parity", 90, _measure("parity", bundle), _parity),
        Step("graphs", 60, _measure("graphs", bundle), _graphs),
        Step("threads", 60, _measure("threads", bundle), _distances),
        Step("motion", 60, _measure("motion", bundle), _motion),
        Step("frames", 90, _frames_of(bundle), _frames),
        Step("options", 90, _measure("options", bundle), _options),
        *_large(large),
        Step("torch", 240, _measure("torch"), _torch),
    )


def _large(bundle: Path | None) -> tuple[Step, ...]:
    why = "" if bundle else "no bundle of sd-turbo's size; name one with --large"
    words = [_measure("graphs", bundle), _frames_of(bundle), _measure("options", bundle)] if bundle else [()] * 3
    told = (("graphs", 120, _graphs), ("frames", 150, _frames), ("options", 240, _options))
    return tuple(
        Step(f"large {name}", limit, tuple(one), say, why) for (name, limit, say), one in zip(told, words, strict=True)
    )


def _measure(name: str, bundle: Path | None = None) -> tuple[str, ...]:
    return (f"{HERE}.measure", name, *(("--bundle", str(bundle)) if bundle else ()))


def _frames_of(bundle: Path) -> tuple[str, ...]:
    return "clavilux.benchmarks.studies.gpu_frame_path", "--bundle", str(bundle), "--seconds", MEASURED


def _machine(found: Result) -> str:
    card, runtime = found["card"], found["onnxruntime"]
    return (
        f"{card['name']}, {card['architecture']}; driver for CUDA {card['cuda']}; "
        f"ONNX Runtime {runtime['version']} for CUDA {runtime['cuda']}"
    )


def _copies(found: Result) -> str:
    equal = "equal" if found["equal"] else "NOT EQUAL"
    return (
        f"{found['megabytes']:.1f} MB up {found['up_ms']:.2f} ms, down {found['down_ms']:.2f} ms, {equal}; "
        f"{found['free_gib']} GiB free"
    )


def _doctor(found: Result) -> str:
    plays = found["plays"]
    return f"{plays['frames_per_second']} pictures/s on {plays['provider']}, a hop {plays['encode_ms']} ms"


def _parity(found: Result) -> str:
    return _each(
        found,
        lambda one: f"{max(one['relative_l2']):.1e} in {one['ms']:.2f} ms" + ("" if one["stable"] else ", NOT STABLE"),
    )


def _graphs(found: Result) -> str:
    return _each(found, lambda one: one.get("refused") or f"captured {one['captured']}, replayed {one['replayed']}")


def _distances(found: Result) -> str:
    return _each(found, lambda one: f"{one:.1e}" if isinstance(one, float) else one)


def _motion(found: Result) -> str:
    return f"latents {found['latents']:.1e}, pictures {found['pictures']} of 255, by the {found['pipeline']}"


def _frames(found: Result) -> str:
    missed = [goal for goal, held in found["verdicts"].items() if not held]
    times = f"{found['picture']['p50']} ms ({found['models']['p50']} in the models)"
    return f"{found['rate']} pictures/s, p50 {times}" + (f"; MISSED {', '.join(missed)}" if missed else "")


def _options(found: Result) -> str:
    def told(tries: Result) -> str:
        return ", ".join(f"{label} {'fails' if isinstance(one, str) else one['ms']}" for label, one in tries.items())

    return _each(found, told)


def _torch(found: Result) -> str:
    return _each(
        found, lambda one: f"eager {one['eager_ms']}, graph {one['graph_ms']}, compiled {one['compiled_ms']} ms"
    )


def _each(found: Result, told: Callable[[Any], str]) -> str:
    return "; ".join(f"{name.removesuffix('.onnx')} {told(one)}" for name, one in found.items())
