"""The whole chain on real graphs: sound goes in, pictures follow, and the same sound gives the same pictures."""

from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from clavilux.runtime.bundle.manifest import LIGHT_NUMBERS
from clavilux.runtime.conditioning.concepts import ConceptIndex
from clavilux.runtime.diffusion.device_pipeline import DevicePipeline
from clavilux.runtime.diffusion.noise_spectrum import coloured
from clavilux.runtime.diffusion.pipeline import PictureRequest
from clavilux.runtime.errors import BundleError, ProviderError, SoundError
from clavilux.runtime.frame import STAGES, Frame, Heard, SourceState
from clavilux.runtime.hearing.listener import HopGrid
from clavilux.runtime.instrument import Instrument
from clavilux.runtime.loading import open_instrument
from clavilux.runtime.output.light_numbers import LightNumbers
from clavilux.runtime.providers.nvidia import cuda, tensorrt
from clavilux.runtime.pulse import PULSE_STEP, SILENCE_DB
from tests.runtime.hearing.pulse.sounds import drum_loop
from tests.runtime.instruments import RATE, Player, instrument, painting_light, pixels, unplayed
from tests.runtime.providers.nvidia.fake_gpu import CARD, FakeRuntime, install
from tests.runtime.sound.sounds import cuts, noise

HOP = 1600  # samples, the tiny bundle's


def play(player: Player, sound: np.ndarray, places: list[int], frame_rate: float = 25.0) -> list[Frame]:
    """Play `sound` in chunks cut at `places`, and take a frame whenever its time has come."""
    frames, times = [], np.arange(0, len(sound) / RATE, 1 / frame_rate)
    edges = sorted({0, *places, len(sound), *(round(time * RATE) for time in times)})
    for start, stop in zip(edges, [*edges[1:], len(sound)], strict=True):
        if len(frames) < len(times) and start == round(times[len(frames)] * RATE):
            frames.append(player.step(float(times[len(frames)])))
        player.hear(sound[start:stop], RATE, captured_at=start / RATE)
    return frames


def test_a_frame_is_a_picture_of_the_bundles_size(tiny_bundle: Path) -> None:
    frame = instrument(tiny_bundle).step(0.0)
    assert (frame.pixels.shape, frame.pixels.dtype) == ((64, 64, 3), np.uint8)
    assert not frame.pixels.flags.writeable


def test_before_any_sound_a_frame_has_heard_nothing(tiny_bundle: Path) -> None:
    frame = instrument(tiny_bundle).step(0.0)
    assert (frame.heard_until, frame.heard, frame.level) == (None, None, SILENCE_DB)


def test_every_stage_is_timed(tiny_bundle: Path) -> None:
    player = instrument(tiny_bundle)
    player.hear(noise(HOP), RATE, captured_at=0.0)
    stages = player.step(0.2).stages
    assert tuple(stages) == STAGES
    assert all(seconds > 0 for seconds in stages.values())


def test_heard_until_is_when_the_last_sample_of_the_hop_was_captured(tiny_bundle: Path) -> None:
    player = instrument(tiny_bundle)
    player.hear(noise(HOP + 100), RATE, captured_at=5.0)
    frame = player.step(6.0)
    assert frame.heard_until == pytest.approx(5.0 + (HOP - 1) / RATE)
    assert frame.stages["queue"] == pytest.approx(6.0 - 5.0 - (HOP - 1) / RATE)


def test_less_sound_than_a_hop_changes_nothing_yet(tiny_bundle: Path) -> None:
    player = instrument(tiny_bundle)
    player.hear(noise(HOP - 1), RATE, captured_at=0.0)
    assert player.step(0.1).heard_until is None
    assert player.hops == 0


@pytest.mark.parametrize(("lead_in", "frames"), [("nothing", 8), ("silence", 198)])
def test_a_young_sound_comes_alone_or_after_silence_as_the_encoder_was_trained(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, lead_in: str, frames: int
) -> None:
    opened = open_instrument(tiny_bundle)
    player = Instrument(replace(opened.bundle, audio=replace(opened.bundle.audio, lead_in=lead_in)), opened.models)
    seen: list[int] = []
    encode = player.models.encoder.encode
    monkeypatch.setattr(
        player.models.encoder, "encode", lambda features: (seen.append(len(features)), encode(features))[1]
    )
    player.hear(noise(HOP), RATE, captured_at=0.0)
    player.step(0.1)
    assert seen == [frames]


def test_a_late_step_looks_at_the_newest_hop_only(tiny_bundle: Path) -> None:
    player = instrument(tiny_bundle)
    player.hear(noise(10 * HOP), RATE, captured_at=0.0)
    player.step(1.0)
    assert player.hops == 1


@given(places=cuts(12_000, most=4))
@settings(max_examples=10)
def test_any_cut_of_the_sound_gives_the_same_frames(tiny_bundle: Path, places: list[int]) -> None:
    sound = noise(12_000)
    whole, parts = play(instrument(tiny_bundle), sound, []), play(instrument(tiny_bundle), sound, places)
    np.testing.assert_array_equal(pixels(whole), pixels(parts))
    assert [frame.level for frame in whole] == [frame.level for frame in parts]


def test_the_same_sound_gives_the_same_embeddings_however_it_was_cut(tiny_bundle: Path) -> None:
    prompts = []
    for places in ([], [1, 777, 5000]):
        player = instrument(tiny_bundle, glide=0)
        play(player, noise(12_000), places)
        prompts.append(player._conditioner.advance(0, 0, 0))
    np.testing.assert_array_equal(*prompts)


def test_other_sound_gives_another_picture(tiny_bundle: Path) -> None:
    tone = np.sin(np.arange(16_000) * 0.2).astype(np.float32) * 0.3
    heard = [play(instrument(tiny_bundle, glide=0, noise="fixed"), sound, [])[-1] for sound in (noise(16_000), tone)]
    assert not np.array_equal(heard[0].pixels, heard[1].pixels)


def test_a_chunk_longer_than_the_ring_is_taken_in_pieces(tiny_bundle: Path) -> None:
    sound = noise(6 * RATE)
    once, often = instrument(tiny_bundle), instrument(tiny_bundle)
    once.hear(sound, RATE, captured_at=0.0)
    for start in range(0, len(sound), 1000):
        often.hear(sound[start : start + 1000], RATE, captured_at=start / RATE)
    frames = [player.step(6.0) for player in (once, often)]
    np.testing.assert_array_equal(frames[0].pixels, frames[1].pixels)
    assert frames[0].heard_until == pytest.approx(frames[1].heard_until)


def test_finishing_lets_the_last_samples_through(tiny_bundle: Path) -> None:
    player = instrument(tiny_bundle)
    player.hear(noise(48_000), 48_000, captured_at=0.0)
    assert player.heard_seconds < 1.0
    player.finish()
    assert player.heard_seconds == 1.0


def test_fixed_noise_gives_a_still_picture(tiny_bundle: Path) -> None:
    player = instrument(tiny_bundle, noise="fixed")
    np.testing.assert_array_equal(player.step(0.0).pixels, player.step(1.0).pixels)


@pytest.mark.parametrize("kind", ["fresh", "walk"])
def test_moving_noise_moves_the_picture(tiny_bundle: Path, kind: str) -> None:
    player = instrument(tiny_bundle, noise=kind, walk=1.0)
    assert not np.array_equal(player.step(0.0).pixels, player.step(0.5).pixels)


def test_another_seed_is_another_picture(tiny_bundle: Path) -> None:
    frames = [instrument(tiny_bundle, seed=seed).step(0.0) for seed in (1, 2)]
    assert not np.array_equal(frames[0].pixels, frames[1].pixels)


@pytest.mark.parametrize("steps", [2, 3, 4])
def test_more_steps_paint_another_picture(tiny_bundle: Path, steps: int) -> None:
    frames = [instrument(tiny_bundle, steps=count).step(0.0) for count in (1, steps)]
    assert not np.array_equal(frames[0].pixels, frames[1].pixels)


def test_feedback_keeps_something_of_the_last_picture(tiny_bundle: Path) -> None:
    without, with_feedback = (instrument(tiny_bundle, noise="fresh", feedback=amount) for amount in (0.0, 0.9))
    for player in (without, with_feedback):
        player.step(0.0)
    assert not np.array_equal(without.step(0.1).pixels, with_feedback.step(0.1).pixels)


def test_a_frozen_picture_stays_while_the_sound_goes_on(tiny_bundle: Path) -> None:
    player = instrument(tiny_bundle, noise="fresh")
    before = player.step(0.0)
    player.parameters = player.parameters.merge({"freeze": True})
    player.hear(noise(HOP), RATE, captured_at=0.0)
    after = player.step(0.2)
    np.testing.assert_array_equal(before.pixels, after.pixels)
    assert (after.sequence, player.hops) == (1, 1)


def test_blackout_is_black_and_ends_with_a_picture(tiny_bundle: Path) -> None:
    player = instrument(tiny_bundle)
    player.step(0.0)
    player.parameters = player.parameters.merge({"blackout": True})
    assert not player.step(0.1).pixels.any()
    player.parameters = player.parameters.merge({"blackout": False})
    assert player.step(0.2).pixels.any()


def test_silence_is_not_encoded_and_drifts_to_the_idle_embedding(tiny_bundle: Path) -> None:
    player = instrument(tiny_bundle, glide=0, drift=0, hold=0.5)
    player.hear(noise(HOP), RATE, captured_at=0.0)
    player.step(0.1)
    player.hear(np.zeros(RATE, np.float32), RATE, captured_at=0.1)
    stages = player.step(1.1).stages
    assert (stages["features"], stages["encode"]) == (0.0, 0.0)
    np.testing.assert_allclose(player._conditioner.advance(0, 0, 0)[0], player.bundle.conditioning.idle)


def test_a_short_pause_holds_the_picture(tiny_bundle: Path) -> None:
    player = instrument(tiny_bundle, glide=0, drift=0, hold=5.0)
    player.hear(noise(HOP), RATE, captured_at=0.0)
    player.step(0.1)
    sounding = player._conditioner.advance(0, 0, 0)
    player.hear(np.zeros(RATE, np.float32), RATE, captured_at=0.1)
    player.step(1.1)
    np.testing.assert_array_equal(player._conditioner.advance(0, 0, 0), sounding)


def test_values_that_are_not_finite_never_enter_the_glide(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    player = instrument(tiny_bundle, glide=0)
    shape = player.bundle.conditioning.idle[1:].shape
    monkeypatch.setattr(player.models.encoder, "encode", lambda _features: np.full(shape, np.nan, np.float32))
    player.hear(noise(HOP), RATE, captured_at=0.0)
    player.step(0.1)
    assert np.isfinite(player._conditioner.advance(0, 0, 0)).all()
    assert "not finite" in caplog.text


def test_unusable_sound_is_refused_and_nothing_is_taken(tiny_bundle: Path) -> None:
    player = instrument(tiny_bundle)
    with pytest.raises(SoundError, match="not finite"):
        player.hear(np.full(HOP, np.inf), RATE, captured_at=0.0)
    assert player.heard_seconds == 0


@pytest.mark.parametrize("when", [float("nan"), float("inf")])
def test_a_capture_time_that_cannot_be_is_refused(tiny_bundle: Path, when: float) -> None:
    player = instrument(tiny_bundle)
    with pytest.raises(SoundError, match="expected a finite time"):
        player.instrument.hear(noise(HOP), RATE, captured_at=when)
    assert player.heard_seconds == 0


def test_with_concepts_the_frame_says_what_is_heard_until_it_is_silent(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    player = instrument(tiny_bundle, hold=0.5)
    monkeypatch.setattr(player.instrument._concepts, "nearest", lambda _tokens: Heard("dog", 0.9))
    player.hear(noise(HOP), RATE, captured_at=0.0)
    player.hear(np.zeros(2 * HOP, np.float32), RATE, captured_at=0.1)
    assert isinstance(player.step(0.3).heard, Heard)
    player.hear(np.zeros(RATE, np.float32), RATE, captured_at=0.3)
    assert player.step(1.3).heard is None


def test_what_no_name_has_evidence_for_is_none_of_them_and_glides_to_idle(tiny_bundle: Path) -> None:
    player = instrument(tiny_bundle, glide=0)
    concepts = np.random.default_rng(0).normal(size=(2, player.bundle.tokens.count - 1, player.bundle.tokens.width))
    player.instrument._concepts = ConceptIndex(("dog", "rain"), concepts.astype(np.float32))
    player.instrument._conditioner.set_target(np.ones_like(player.bundle.conditioning.idle[1:]))
    player.hear(noise(RATE), RATE, captured_at=0.0)
    frame = player.step(1.0)
    assert (frame.heard, frame.known) == (None, 0.0)
    assert frame.listening.state == SourceState.PLAYING
    np.testing.assert_array_equal(player._conditioner.advance(0, 0, 0)[0], player.bundle.conditioning.idle)


def test_a_source_that_stops_in_a_sound_is_silence_by_the_clock(tiny_bundle: Path) -> None:
    player = instrument(tiny_bundle, glide=0, drift=0, hold=1.5)
    assert player.step(0.0).listening.state == SourceState.NONE
    player.hear(noise(RATE), RATE, captured_at=0.0)
    frame = player.step(1.0)
    assert (frame.listening.state, frame.level > -30) == (SourceState.PLAYING, True)
    frame = player.step(1.4)
    assert (frame.listening.state, frame.level > -30) == (SourceState.PLAYING, True)
    frame = player.step(2.0)
    assert (frame.listening.state, frame.level) == (SourceState.STALLED, SILENCE_DB)
    assert not np.array_equal(player._conditioner.advance(0, 0, 0)[0], player.bundle.conditioning.idle)
    player.step(2.6)
    np.testing.assert_array_equal(player._conditioner.advance(0, 0, 0)[0], player.bundle.conditioning.idle)


@pytest.fixture
def cut_off(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Player:
    """A player that has heard a tenth of a second of a dog at 0 s, and no more."""
    player = instrument(tiny_bundle)
    monkeypatch.setattr(player.instrument._concepts, "nearest", lambda _tokens: Heard("dog", 0.7))
    player.hear(noise(HOP), RATE, captured_at=0.0)
    return player


def test_a_word_that_ends_with_its_source_is_named_by_the_clock(cut_off: Player) -> None:
    player = cut_off
    assert player.step(0.1).heard is None
    told = [player.step(0.1 + 0.1 * step).heard for step in range(1, 30)]
    assert told[:5] == [None] * 5
    assert told[6] == Heard("dog", 0.7)
    assert told[-1] is None


def test_a_word_that_ended_with_its_source_long_before_anyone_looked_is_not_named(cut_off: Player) -> None:
    assert [cut_off.step(60.0 + 0.1 * step).heard for step in range(30)] == [None] * 30


def test_a_source_that_comes_back_is_heard_after_silence_and_not_after_what_it_said_last(tiny_bundle: Path) -> None:
    player, other = instrument(tiny_bundle), instrument(tiny_bundle)
    sound, again = noise(RATE, channels=1), noise(RATE, channels=1, seed=2)
    player.hear(sound, RATE, captured_at=0.0)
    player.step(1.0)
    player.hear(again, RATE, captured_at=61.0)
    other.hear(np.concatenate([sound, np.zeros((2 * RATE, 1), np.float32), again]), RATE, captured_at=0.0)
    window = player.bundle.audio.window_samples
    tokens = [
        one._listener._log_mel.read(one._listener._log_mel.frames - 90, one._listener._log_mel.frames)
        for one in (player.instrument, other.instrument)
    ]
    assert window == 2 * RATE
    np.testing.assert_array_equal(*tokens)
    assert player.step(62.0).listening.state == SourceState.PLAYING


def test_a_quiet_source_is_quiet_and_the_frame_says_where_the_gate_is(tiny_bundle: Path) -> None:
    player = instrument(tiny_bundle, gate=-40.0, gate_follows=False)
    player.hear(noise(RATE) / 1000, RATE, captured_at=0.0)
    listening = player.step(1.0).listening
    assert (listening.state, listening.gate) == (SourceState.QUIET, -40.0)


def test_clicks_twice_a_second_are_no_quiet_source_until_they_end(tiny_bundle: Path) -> None:
    player = instrument(tiny_bundle)
    beat = np.pad(noise(RATE // 20), (0, RATE * 9 // 20))
    states = []
    for number in range(12):
        player.hear(beat if number < 8 else np.zeros_like(beat), RATE, captured_at=number / 2)
        states.append(player.step(number / 2 + 0.5).listening.state)
    assert states == [SourceState.PLAYING] * 9 + [SourceState.QUIET] * 3


def test_an_offset_is_no_sound(tiny_bundle: Path) -> None:
    player = instrument(tiny_bundle)
    player.hear(np.full(4 * RATE, 0.003, np.float32), RATE, captured_at=0.0)
    frame = player.step(4.0)
    assert (frame.level, frame.listening.state) == (SILENCE_DB, SourceState.QUIET)


def test_the_gain_is_on_the_sound_before_all_else(tiny_bundle: Path) -> None:
    levels = []
    for gain in (0.0, 12.0):
        player = instrument(tiny_bundle, gain=gain)
        player.step(0.0)
        player.hear(noise(RATE) / 10, RATE, captured_at=0.0)
        levels.append(player.step(1.0).level)
    assert levels[1] - levels[0] == pytest.approx(12.0, abs=0.05)


def test_the_automatic_gain_is_told_and_does_not_move_the_gate(tiny_bundle: Path) -> None:
    player = instrument(tiny_bundle, gain_follows=True)
    for second in range(6):
        player.hear(noise(RATE) / 20, RATE, captured_at=float(second))
        frame = player.step(second + 1.0)
    assert frame.listening.gain == pytest.approx(5.0, abs=1.0)
    plain = instrument(tiny_bundle)
    for second in range(6):
        plain.hear(noise(RATE) / 20, RATE, captured_at=float(second))
        still = plain.step(second + 1.0)
    assert still.listening.gate == frame.listening.gate


def test_a_bundle_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nowhere is missing"):
        open_instrument(tmp_path / "nowhere")


def test_a_device_that_is_not_there_is_named(tiny_bundle: Path) -> None:
    with pytest.raises(ProviderError, match="no device 'abacus'; there are cpu"):
        open_instrument(tiny_bundle, device="abacus")


@pytest.mark.parametrize(("hop", "until"), [(0.0, HOP), (0.05, 2400), (0.01, 2400)])
def test_the_hop_is_the_parameters_or_the_bundles(tiny_bundle: Path, hop: float, until: int) -> None:
    player = instrument(tiny_bundle, hop=hop)
    player.hear(noise(2400), RATE, captured_at=0.0)
    assert player.step(0.2).heard_until == pytest.approx((until - 1) / RATE)


@pytest.mark.parametrize(("samples", "until"), [(1599, None), (1600, 1600), (1759, 1600), (1760, 1760)])
def test_one_that_follows_takes_the_newest_frame_of_sound(tiny_bundle: Path, samples: int, until: int | None) -> None:
    player = instrument(tiny_bundle)
    player.grid = HopGrid(1600, follows=True)
    player.hear(noise(samples), RATE, captured_at=0.0)
    heard = player.step(1.0).heard_until
    assert heard == (None if until is None else pytest.approx((until - 1) / RATE))


def test_one_that_follows_looks_no_sooner_than_a_hop_later(tiny_bundle: Path) -> None:
    player = instrument(tiny_bundle)
    player.grid = HopGrid(1600, follows=True)
    looks = []
    for step in range(8):
        player.hear(noise(480), RATE, captured_at=step * 0.03)
        player.step(step * 0.03)
        looks.append(player.hops)
    assert looks == [0, 0, 0, 1, 1, 1, 1, 2]


@pytest.mark.parametrize(("hops", "until"), [((5.0,), 5.0), ((5.0, 2.5), 7.5)], ids=["long", "shorter than before"])
def test_a_hop_that_ended_long_ago_is_still_there(tiny_bundle: Path, hops: tuple[float, ...], until: float) -> None:
    player = instrument(tiny_bundle)
    for hop in hops:
        player.parameters = player.parameters.merge({"hop": hop})
        player.hear(noise(round(9.9 * RATE) // len(hops)), RATE, captured_at=player.heard_seconds)
        frame = player.step(player.heard_seconds)
    assert frame.heard_until == pytest.approx(until - 1 / RATE)


def test_listening_to_silence_is_not_booked_on_the_next_sound(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    player = instrument(tiny_bundle)
    with monkeypatch.context() as patch:
        seconds = count()
        patch.setattr("time.perf_counter", lambda: float(next(seconds)))
        for index in range(21):
            player.hear(noise(HOP) if index in (0, 20) else np.zeros(HOP, np.float32), RATE, captured_at=index / 10)
            stages = player.step(index / 10).stages
    assert stages["encode"] > 0
    assert stages["features"] == 2.0  # a call of the clock for listening, and one for reading the features


def test_after_a_sound_still_noise_comes_to_rest_within_half_a_minute(tiny_bundle: Path) -> None:
    player = instrument(tiny_bundle, noise="fixed")
    player.hear(noise(RATE), RATE, captured_at=0.0)
    player.step(1.0)
    painted = []
    for second in range(1, 30):
        player.hear(np.zeros(RATE, np.float32), RATE, captured_at=float(second))
        painted.append(player.step(second + 1.0).stages["denoise"] > 0)
    assert painted == sorted(painted, reverse=True)
    assert 5 < sum(painted) < 25


def test_a_picture_that_would_be_the_same_is_not_painted_again(tiny_bundle: Path) -> None:
    player = instrument(tiny_bundle, noise="fixed")
    first = player.step(0.0)
    again = player.step(1.0)
    assert first.stages["denoise"] > 0
    assert (again.stages["denoise"], again.stages["decode"]) == (0.0, 0.0)
    np.testing.assert_array_equal(first.pixels, again.pixels)


@pytest.mark.parametrize(
    "change", [{"noise": "fresh"}, {"noise": "walk"}, {"seed": 8}, {"feedback": 0.5}, {"steps": 2}]
)
def test_whatever_may_change_the_picture_paints_it(tiny_bundle: Path, change: dict[str, float | str]) -> None:
    player = instrument(tiny_bundle, noise="fixed")
    player.step(0.0)
    player.parameters = player.parameters.merge(change, player.ranges)
    assert player.step(1.0).stages["denoise"] > 0


def test_new_sound_paints_a_new_picture(tiny_bundle: Path) -> None:
    player = instrument(tiny_bundle, noise="fixed")
    before = player.step(0.0)
    player.hear(noise(HOP), RATE, captured_at=0.0)
    assert (player.step(0.2).pixels != before.pixels).any()


@pytest.mark.parametrize(
    "parameters", [{}, {"steps": 3, "feedback": 0.5, "react": 0.0}], ids=["one step", "steps and feedback"]
)
def test_on_a_card_the_frames_are_those_of_the_cpu(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, parameters: dict[str, float]
) -> None:
    plain = play(instrument(tiny_bundle, **parameters), noise(8000), [])
    install(monkeypatch, FakeRuntime(("CUDAExecutionProvider", "CPUExecutionProvider")))
    monkeypatch.setattr(cuda, "find_card", lambda: CARD)
    player = Player(open_instrument(tiny_bundle, device="cuda"), **parameters)
    frames = play(player, noise(8000), [])
    assert isinstance(player.pipeline, DevicePipeline)
    np.testing.assert_array_equal(pixels(frames), pixels(plain))
    assert tuple(frames[-1].stages) == STAGES


def test_on_a_card_the_size_may_change_while_it_plays(flexible_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shapes(player: Player) -> list[np.ndarray]:
        pictures = []
        for index, side in enumerate((64, 32, 32, 128)):
            player.parameters = player.parameters.merge({"height": side, "width": 64, "feedback": 0.5}, player.ranges)
            pictures.append(player.step(index / 10).pixels)
        return pictures

    plain = shapes(instrument(flexible_bundle))
    install(monkeypatch, FakeRuntime(("CUDAExecutionProvider", "CPUExecutionProvider")))
    monkeypatch.setattr(cuda, "find_card", lambda: CARD)
    for found, expected in zip(shapes(Player(open_instrument(flexible_bundle, device="cuda"))), plain, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("device", ["tensorrt", "tensorrt:no-graph"])
@pytest.mark.parametrize("bundle", ["tiny_bundle", "flexible_bundle"])
def test_on_tensorrt_with_its_one_cuda_graph_for_each_session_the_frames_are_those_of_the_cpu(
    bundle: str, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(bundle)
    plain = play(instrument(folder, steps=3, feedback=0.5), noise(8000), [])
    install(monkeypatch, FakeRuntime(("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider")))
    monkeypatch.setattr(tensorrt, "find_target", lambda: tensorrt.Target("tensorrt", "sm89", "10.13.3"))
    monkeypatch.setattr(tensorrt, "engine_places", lambda graph: (tmp_path / "engines",))
    monkeypatch.setattr(tensorrt, "user_folder", lambda: tmp_path / "timings")
    player = Player(open_instrument(folder, device=device), steps=3, feedback=0.5)
    assert isinstance(player.pipeline, DevicePipeline)
    found, expected = (pixels(frames).astype(int) for frames in (play(player, noise(8000), []), plain))
    assert np.abs(found - expected).max() <= 1  # where its axes are closed, the encoder adds in another order


def test_a_frame_carries_every_reading_since_the_one_before(tiny_bundle: Path) -> None:
    player = instrument(tiny_bundle)
    seen = []
    for k in range(1, 6):
        player.hear(noise(RATE // 4, channels=1, seed=k), RATE, (k - 1) / 4)
        seen += player.step(k / 4).pulses
    assert [pulse.index for pulse in seen] == list(range(125))


def test_the_beat_does_not_outlive_a_gap_of_its_source(tiny_bundle: Path) -> None:
    player = instrument(tiny_bundle)
    player.hear(drum_loop(120, 10), RATE, 0.0)
    before = player.step(10.0).pulses
    player.hear(noise(RATE // 10, channels=1) / 1000, RATE, 3600.0)
    after = player.step(3600.1).pulses
    assert before[-1].beat_confidence > 0.3
    assert after[0].index == before[-1].index + 1 + player.bundle.audio.window_samples // PULSE_STEP
    assert after[0].beat_confidence == 0


def test_a_route_moves_what_a_picture_is_made_of(tiny_bundle: Path) -> None:
    still = instrument(tiny_bundle, noise="walk", react=0.0, route_1="level > walk 5, release 0")
    moved = instrument(tiny_bundle, noise="walk", react=1.0, route_1="level > walk 5, release 0")
    frames = []
    for player in (still, moved):
        player.hear(noise(RATE, channels=1), RATE, 0.0)
        player.step(0.9)
        frames.append(player.step(1.0))
    assert [frame.values["walk"] for frame in frames] == [0.25, pytest.approx(5.0, abs=3)]
    assert frames[1].values["walk"] > 0.3
    assert not np.array_equal(frames[0].pixels, frames[1].pixels)


def test_with_react_0_routes_change_no_picture(tiny_bundle: Path) -> None:
    players = [
        instrument(tiny_bundle, react=0.0, route_1=line) for line in ("", "level > walk 5", "onset > feedback 0.9")
    ]
    frames = []
    for player in players:
        player.hear(noise(RATE, channels=1), RATE, 0.0)
        frames.append([player.step(now) for now in (0.5, 1.0)])
    for others in frames[1:]:
        np.testing.assert_array_equal(pixels(frames[0]), pixels(others))


def test_panic_is_black_at_once_and_begins_afresh(tiny_bundle: Path) -> None:
    fresh = instrument(tiny_bundle, noise="fixed", feedback=0.0, react=0.0)
    first = fresh.step(0.0)
    player = instrument(tiny_bundle, noise="fixed", feedback=0.9, react=0.0)
    for now in (0.0, 0.1, 0.2):
        fed = player.step(now)
    assert not np.array_equal(fed.pixels, first.pixels)
    kept = player.parameters
    player.parameters = kept.merge({"panic": True}, player.ranges)
    assert player.step(0.3).pixels.max() == 0
    player.parameters = kept  # feedback is on again, and there is nothing that could come back
    np.testing.assert_array_equal(player.step(0.4).pixels, first.pixels)


def test_a_tap_reaches_the_tracker_at_its_reading(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tapped: list[int] = []
    player = instrument(tiny_bundle)
    monkeypatch.setattr(player.instrument._tracker, "tap", tapped.append)
    player.instrument.tap(0.1)
    player.hear(noise(RATE, channels=1), RATE, 10.0)
    player.instrument.tap(10.5)
    assert tapped == [49]


def prompts_of(player: Player, monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Return a list that fills with the prompts which pictures are made of."""
    seen: list[np.ndarray] = []
    make = player._maker.make

    def noticed(prompt: np.ndarray, *given: Any, **named: Any) -> Any:
        seen.append(prompt)
        return make(prompt, *given, **named)

    monkeypatch.setattr(player._maker, "make", noticed)
    return seen


def sung(pitch: float) -> np.ndarray:
    """A second of a tone with overtones, of a pitch in Hz."""
    times = np.arange(RATE) / RATE
    return sum(np.sin(2 * np.pi * pitch * i * times) / i for i in range(1, 5)).astype(np.float32) * 0.2


def test_a_bundle_that_paints_light_is_told_of_the_sounds_light(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, lit = (Player(one, glide=0) for one in (unplayed(tiny_bundle), painting_light(tiny_bundle)))
    without, told = (prompts_of(player, monkeypatch) for player in (plain, lit))
    frames = play(lit, sung(440.0), [])
    play(plain, sung(440.0), [])
    rows, light = lit.bundle.conditioning.light, LightNumbers()
    numbers = [light.advance(frame.pulses, 0.04 if i else 0.0) for i, frame in enumerate(frames)]
    assert np.abs(numbers[-1] - numbers[0]).max() > 0.2
    for number, one, other in zip(numbers, told, without, strict=True):
        np.testing.assert_array_equal(one[0, 0], other[0, 0])
        np.testing.assert_allclose(one[0, 1:], other[0, 1:] + number @ rows, atol=1e-5)


def test_another_pitch_is_another_light(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = []
    for pitch in (220.0, 330.0):
        player = Player(painting_light(tiny_bundle), glide=0)
        told = prompts_of(player, monkeypatch)
        plain = Player(unplayed(tiny_bundle), glide=0)
        without = prompts_of(plain, monkeypatch)
        play(player, sung(pitch), [])
        play(plain, sung(pitch), [])
        numbers, *_ = np.linalg.lstsq(player.bundle.conditioning.light.T, (told[-1] - without[-1])[0, 1], rcond=None)
        heard.append(numbers)
    for number in ("hue_cosine", "place"):
        assert abs(heard[0][LIGHT_NUMBERS.index(number)] - heard[1][LIGHT_NUMBERS.index(number)]) > 0.02


def noises_of(player: Player, monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Return a list that fills with the noise which pictures begin with."""
    seen: list[np.ndarray] = []
    run = player._maker.pipeline.run

    def noticed(request: PictureRequest) -> Any:
        seen.append(request.noise(0))
        return run(request)

    monkeypatch.setattr(player._maker.pipeline, "run", noticed)
    return seen


@pytest.mark.parametrize("noise", ["walk", "fresh"])
def test_noise_takes_the_colour_of_the_light(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, noise: str) -> None:
    opened = unplayed(tiny_bundle), painting_light(tiny_bundle)
    plain, lit = (Player(one, glide=0, noise=noise) for one in opened)
    without, told = (noises_of(player, monkeypatch) for player in (plain, lit))
    play(plain, sung(330.0), [])
    frames = play(lit, sung(330.0), [])
    light = LightNumbers()
    numbers = [light.advance(frame.pulses, 0.04 if i else 0.0) for i, frame in enumerate(frames)]
    assert len(told) == len(without) == len(numbers)
    for number, white, seen in zip(numbers, without, told, strict=True):
        np.testing.assert_allclose(seen, coloured(white, number), atol=1e-6)


def test_a_light_that_changes_is_painted_though_its_rows_say_nothing(tiny_bundle: Path) -> None:
    dark = Player(painting_light(tiny_bundle, 0.0), glide=0, noise="fixed")
    first, *_, last = pixels(play(dark, sung(330.0), []))
    assert not np.array_equal(first, last)


def test_light_changes_the_picture(tiny_bundle: Path) -> None:
    plain, lit = (Player(one, glide=0) for one in (unplayed(tiny_bundle), painting_light(tiny_bundle)))
    first, second = (play(player, sung(330.0), [])[-1].pixels for player in (plain, lit))
    assert not np.array_equal(first, second)


def test_in_silence_light_comes_to_rest_and_is_not_painted_again(tiny_bundle: Path) -> None:
    player = Player(painting_light(tiny_bundle), noise="fixed")
    play(player, np.concatenate([sung(330.0), np.zeros(RATE, np.float32)]), [])
    frames = [player.step(2.0 + 0.5 * i) for i in range(80)]
    assert frames[-1].stages["denoise"] == 0
    np.testing.assert_array_equal(frames[-1].pixels, frames[-2].pixels)
