"""The plan's lines: results as a person reads them in the table."""

from pathlib import Path

import pytest

from clavilux.benchmarks.on_card.plan import Step, steps

RESULTS = {
    "machine": {
        "card": {"name": "NVIDIA Test", "architecture": "sm90", "cuda": "13.0"},
        "onnxruntime": {"version": "1.31.1", "cuda": "13.0"},
    },
    "copies": {"equal": False, "up_ms": 0.31, "down_ms": 0.32, "megabytes": 16.777, "free_gib": 70.5},
    "doctor": {"plays": {"frames_per_second": 30.1, "provider": "CUDA", "encode_ms": 1.5}},
    "parity": {"decoder.onnx": {"relative_l2": [1e-4, 2e-4], "stable": False, "ms": 1.234}},
    "graphs": {"denoiser.onnx": {"captured": 1, "replayed": 4}, "audio_encoder.onnx": {"refused": "open axes"}},
    "threads": {"first thread": 1e-5, "second thread": "it fails"},
    "motion": {"latents": 1e-6, "pictures": 1, "pipeline": "DevicePipeline"},
    "frames": {
        "rate": 232.0,
        "picture": {"p50": 3.6},
        "models": {"p50": 2.7},
        "verdicts": {"fast": False, "one": True},
    },
    "options": {"denoiser.onnx": {"default": {"ms": 11.3}, "fused bias": "no such fusion"}},
    "torch": {"unet": {"eager_ms": 1.0, "graph_ms": 2.0, "compiled_ms": 3.0}},
}
LINES = {
    "machine": "NVIDIA Test, sm90; driver for CUDA 13.0; ONNX Runtime 1.31.1 for CUDA 13.0",
    "copies": "16.8 MB up 0.31 ms, down 0.32 ms, NOT EQUAL; 70.5 GiB free",
    "doctor": "30.1 pictures/s on CUDA, a hop 1.5 ms",
    "parity": "decoder 2.0e-04 in 1.23 ms, NOT STABLE",
    "graphs": "denoiser captured 1, replayed 4; audio_encoder open axes",
    "threads": "first thread 1.0e-05; second thread it fails",
    "motion": "latents 1.0e-06, pictures 1 of 255, by the DevicePipeline",
    "frames": "232.0 pictures/s, p50 3.6 ms (2.7 in the models); MISSED fast",
    "options": "denoiser default 11.3, fused bias fails",
    "torch": "unet eager 1.0, graph 2.0, compiled 3.0 ms",
}


def named(plan: tuple[Step, ...]) -> dict[str, Step]:
    return {step.name: step for step in plan}


@pytest.mark.parametrize("name", LINES)
def test_a_result_reads_in_a_line(name: str) -> None:
    assert named(steps(Path("lumia"), None))[name].told(RESULTS[name]) == LINES[name]


def test_every_step_has_a_line_that_is_tested() -> None:
    assert {name.removeprefix("large ") for name in named(steps(Path("lumia"), Path("large")))} == LINES.keys()


def test_the_large_bundle_is_asked_the_same_with_more_time() -> None:
    found = named(steps(Path("lumia"), Path("large")))
    for name in ("graphs", "frames", "options"):
        small, large = found[name], found[f"large {name}"]
        assert large.words == tuple("large" if word == "lumia" else word for word in small.words)
        assert large.limit > small.limit


def test_without_a_large_bundle_its_steps_say_what_to_give() -> None:
    found = named(steps(Path("lumia"), None))["large frames"]
    assert (found.words, found.why) == ((), "no bundle of sd-turbo's size; name one with --large")


def test_skeletons_are_filled_before_anything_opens_them() -> None:
    names = list(named(steps(Path("lumia"), Path("large"), (Path("packed/lumia"), Path("packed/large")))))
    assert names.index("fill lumia") < names.index("fill large") < names.index("doctor")
