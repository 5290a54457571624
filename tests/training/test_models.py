"""The three networks have the shapes that the bundle needs, learn, and treat noise and tokens as they say."""

import pytest
import torch

from training import autoencoder, encoder, targets, unet
from training.clips import ClipBank
from training.dataset import Group, Windows
from training.features import MEL_BINS, WINDOW_FRAMES
from training.pictures import LATENT_SIZE, SIZE
from training.stages import Recipe

WIDTH = 16


@pytest.fixture(scope="module")
def codec():
    torch.manual_seed(0)
    return autoencoder.build(8).eval()


@pytest.fixture(scope="module")
def ear():
    torch.manual_seed(0)
    return encoder.build(WIDTH, layers=2).eval()


@pytest.fixture(scope="module")
def maker():
    torch.manual_seed(0)
    return unet.build(WIDTH, (16, 16, 32)).eval()


def material(noises: int = 3, heard: int = 2) -> unet.Material:
    dice = torch.Generator().manual_seed(0)
    table = targets.token_table(2, 5, WIDTH, seed=0)
    noise = autoencoder.seeded_noise(0, noises)
    latents = torch.randn(3, *noise.shape, generator=dice)
    return unet.Material(latents, noise, table, table[:, None].repeat(1, heard, 1, 1), targets.begin_token(WIDTH, 0))


def test_latents_are_sixteen_times_smaller_than_pictures(codec):
    latents = autoencoder.encoded(codec, torch.zeros(2, 3, SIZE, SIZE, dtype=torch.uint8))
    assert latents.shape == (2, autoencoder.LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE)


def test_decoded_pictures_are_bytes_of_full_size(codec):
    pictures = autoencoder.decoded(codec, autoencoder.seeded_noise(0, 2))
    assert pictures.shape == (2, 3, SIZE, SIZE)
    assert pictures.dtype == torch.uint8


def test_latent_noise_depends_on_its_seed_alone():
    torch.testing.assert_close(autoencoder.seeded_noise(4, 3), autoencoder.seeded_noise(4, 3))
    assert not torch.equal(autoencoder.seeded_noise(4, 3), autoencoder.seeded_noise(5, 3))


def test_every_picture_is_painted_under_every_noise():
    pictures = autoencoder.painted([None, None], autoencoder.seeded_noise(0, 3))
    assert pictures.shape == (2, 3, 3, SIZE, SIZE)
    assert torch.equal(pictures[0], pictures[1])


def test_after_training_scaled_latents_have_unit_deviation(tmp_path):
    torch.manual_seed(0)
    pictures = autoencoder.painted([None], autoencoder.seeded_noise(0, 4))[0]
    model = autoencoder.build(8)
    autoencoder.fit(model, pictures, Recipe(steps=2, rate=1e-3), tmp_path / "codec.pt", batch=2)
    assert autoencoder.encoded(model, pictures).std() == pytest.approx(1.0, abs=0.01)


def test_the_encoder_gives_the_tokens_that_it_counts(ear):
    tokens = encoder.heard(ear, torch.randn(3, WINDOW_FRAMES, MEL_BINS))
    assert tokens.shape == (3, encoder.token_count(), WIDTH)


def test_a_window_of_two_seconds_becomes_twenty_five_tokens():
    assert encoder.token_count() == 25


def test_windows_are_encoded_independently_of_their_company(ear):
    frames = torch.randn(3, WINDOW_FRAMES, MEL_BINS)
    torch.testing.assert_close(encoder.heard(ear, frames)[1:2], encoder.heard(ear, frames[1:2]), atol=1e-4, rtol=1e-3)


def labelled_noise() -> Windows:
    sounds = [0.3 * torch.randn(4000, generator=torch.Generator().manual_seed(i)).numpy() for i in range(2)]
    return Windows([Group(ClipBank(sounds, ["a", "b"], ["x", "x"]), 1.0)], ("a", "b"), seed=0)


def test_the_pupil_also_learns_from_windows_of_other_lengths(ear):
    pupil = encoder.Pupil(ear, targets.token_table(2, encoder.token_count(), WIDTH, seed=0))
    for frames in (111, 150):
        assert torch.isfinite(pupil.loss(torch.randn(2, frames, MEL_BINS), torch.tensor([0, 1])))


def test_every_part_of_the_encoder_is_reached_by_the_loss():
    torch.manual_seed(0)
    model = encoder.build(WIDTH, layers=2)
    pupil = encoder.Pupil(model, targets.token_table(2, encoder.token_count(), WIDTH, seed=0))
    torch.autograd.backward(pupil.loss(torch.randn(2, WINDOW_FRAMES, MEL_BINS), torch.tensor([0, 1])))
    unused = {name for name, value in model.named_parameters() if value.grad is None}
    assert unused <= {"masked_spec_embed"}


def test_a_head_hears_a_concept_wherever_in_the_window_it_is(ear):
    pupil = encoder.Pupil(ear, targets.token_table(2, encoder.token_count(), WIDTH, seed=0))
    hidden = torch.randn(1, 12, WIDTH)
    moved = hidden.roll(5, dims=1)
    torch.testing.assert_close(pupil._found(pupil.heads[0], hidden), pupil._found(pupil.heads[0], moved))


def test_fitting_the_ear_changes_it_the_same_way_each_time(tmp_path):
    states = []
    for name in ("first.pt", "second.pt"):
        torch.manual_seed(0)
        pupil = encoder.Pupil(encoder.build(WIDTH, 2), targets.token_table(2, encoder.token_count(), WIDTH, seed=0))
        encoder.fit(pupil, labelled_noise(), Recipe(steps=2, rate=1e-3), tmp_path / name, batch=2)
        states.append(pupil.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_tokens_are_collected_for_every_label_and_idle(ear):
    found = encoder.heard_by_concept(ear, labelled_noise(), 3, each=2)
    assert found.shape == (3, 2, encoder.token_count(), WIDTH)


def test_one_step_gives_latents_of_the_noise_shape(maker):
    noise, begin = autoencoder.seeded_noise(0, 2), targets.begin_token(WIDTH, 0)
    latents = unet.imagined(maker, noise, targets.token_table(1, 5, WIDTH, seed=0), begin)
    assert latents.shape == noise.shape


def test_a_prompt_begins_with_the_constant_token():
    tokens, begin = torch.randn(2, 5, WIDTH), targets.begin_token(WIDTH, 0)
    prompt = unet.with_begin(tokens, begin)
    assert prompt.shape == (2, 6, WIDTH)
    assert torch.equal(prompt[:, 0], begin.expand(2, -1))
    assert torch.equal(prompt[:, 1:], tokens)


def test_the_schedule_begins_at_the_last_step_and_predicts_clean_latents():
    schedule = unet.scheduler()
    schedule.set_timesteps(1)
    assert schedule.timesteps.tolist() == [unet.TRAIN_STEPS - 1]
    assert schedule.config.prediction_type == "sample"


def test_what_the_unet_sees_at_pure_noise_is_the_noise_itself():
    torch.manual_seed(0)
    target, noise = torch.ones(64, 1, 2, 2), torch.zeros(64, 1, 2, 2)
    sample, times = unet._noised(target, target, noise, unet.scheduler().alphas_cumprod)
    pure = times == unet.TRAIN_STEPS - 1
    assert pure.float().mean() == pytest.approx(unet.PURE, abs=0.2)
    assert not sample[pure].any()
    assert (sample[~pure] > 0).all()


def test_fitting_the_unet_lowers_its_loss(tmp_path):
    torch.manual_seed(0)
    model, data = unet.build(WIDTH, (16, 16, 32)), material()
    alphas = unet.scheduler().alphas_cumprod

    def loss() -> float:
        torch.manual_seed(1)
        with torch.no_grad():
            return float(unet._loss(model, data, alphas, 16))

    before = loss()
    unet.fit(model, data, Recipe(steps=25, rate=3e-3, warmup=2, checkpoint=25), tmp_path / "unet.pt", batch=8)
    assert loss() < before


def test_a_blend_runs_from_the_second_to_the_first():
    first, second = torch.ones(3, 2, 2), torch.zeros(3, 2, 2)
    blended = unet._blend(first, second, torch.tensor([0.0, 0.25, 1.0]))
    assert blended[:, 0, 0].tolist() == [0.0, 0.25, 1.0]


def test_easing_keeps_the_ends_and_the_middle():
    assert unet._eased(torch.tensor([0.0, 0.5, 1.0])).tolist() == [0.0, 0.5, 1.0]
