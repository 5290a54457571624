"""The pipeline on the host."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from clavilux.runtime.diffusion.decoder import Decoder
from clavilux.runtime.diffusion.denoiser import Denoiser, Feedback
from clavilux.runtime.diffusion.host_pipeline import HostPipeline
from clavilux.runtime.diffusion.motion import Motion, warp
from clavilux.runtime.diffusion.noise import draw
from clavilux.runtime.placement.devices import open_session
from tests.runtime.diffusion.test_device_pipeline import asked
from tests.runtime.diffusion.toy_graphs import schedule, write_decoder, write_denoiser


def parts(folder: Path) -> tuple[Denoiser, Decoder]:
    denoiser, decoder = open_session(write_denoiser(folder)), open_session(write_decoder(folder))
    return Denoiser(denoiser, schedule()), Decoder(decoder)


def test_a_picture_is_what_denoiser_and_decoder_make(tmp_path: Path) -> None:
    denoiser, decoder = parts(tmp_path)
    one = asked(steps=2)
    picture = HostPipeline(denoiser, decoder).run(one)
    np.testing.assert_array_equal(picture, decoder.decode(denoiser.denoise(one.prompt, one.noise, 2)))
    assert not picture.flags.writeable


def test_feedback_is_of_the_last_picture_s_latents(tmp_path: Path) -> None:
    denoiser, decoder = parts(tmp_path)
    pipeline = HostPipeline(denoiser, decoder)
    assert pipeline.latents() is None
    pipeline.run(asked(0, feedback=0.5))
    first = denoiser.denoise(asked().prompt, asked(0).noise)
    np.testing.assert_array_equal(pipeline.latents(), first)
    pipeline.run(asked(1, feedback=0.5))
    second = denoiser.denoise(asked(1).prompt, asked(1).noise, feedback=Feedback(first, 0.5))
    np.testing.assert_array_equal(pipeline.latents(), second)


def test_the_last_latents_move_before_they_come_back(tmp_path: Path) -> None:
    denoiser, decoder = parts(tmp_path)
    pipeline = HostPipeline(denoiser, decoder)
    pipeline.run(asked(0))
    first, motion = pipeline.latents(), Motion(zoom=1.1, angle=0.3)
    pipeline.run(asked(1, feedback=0.5, motion=motion))
    second = denoiser.denoise(asked(1).prompt, asked(1).noise, feedback=Feedback(warp(first, motion), 0.5))
    np.testing.assert_array_equal(pipeline.latents(), second)


def test_latents_of_another_size_do_not_come_back(tmp_path: Path) -> None:
    pipeline = HostPipeline(*parts(tmp_path))
    pipeline.run(asked(0))
    wide = (1, 4, 4, 8)
    one = replace(asked(1, feedback=0.5), shape=wide, noise=lambda step: draw(wide, 1, 1, step))
    expected = HostPipeline(*parts(tmp_path)).run(one)
    np.testing.assert_array_equal(pipeline.run(one), expected)


def test_both_stages_are_timed(tmp_path: Path) -> None:
    pipeline = HostPipeline(*parts(tmp_path))
    pipeline.run(asked())
    assert tuple(pipeline.stages) == ("denoise", "decode")
    assert all(seconds > 0 for seconds in pipeline.stages.values())


def test_a_flush_leaves_the_last_latents_where_they_are(tmp_path: Path) -> None:
    pipelines = [HostPipeline(*parts(tmp_path)) for _ in range(2)]
    for pipeline in pipelines:
        pipeline.run(asked(0))
    pipelines[0].flush()
    pictures = [pipeline.run(asked(1, feedback=0.5)) for pipeline in pipelines]
    np.testing.assert_array_equal(*pictures)
