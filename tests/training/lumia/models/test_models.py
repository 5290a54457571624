"""The three networks have the shapes that the bundle needs, learn, and treat noise and tokens as they say."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.functional import ctc_loss, interpolate, layer_norm, log_softmax

from clavilux.training.features import MEL_BINS, WINDOW_FRAMES
from clavilux.training.lumia.data.clips import LabelledClip, Origin
from clavilux.training.lumia.data.emoji import LATENT_SIZE, SIZE
from clavilux.training.lumia.models import autoencoder, encoder, targets, unet
from clavilux.training.lumia.models.augmented_windows import Augmentation, Batch, Group, Windows, frame_set
from clavilux.training.lumia.models.train_loop import Recipe

WIDTH = 16
CHANNELS = (16, 16, 32)
PHONEMES = 5


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def codec():
    torch.manual_seed(0)
    return autoencoder.build(8).eval()


@pytest.fixture(scope="module")
def ear():
    torch.manual_seed(0)
    return encoder.build(WIDTH, WIDTH, layers=2).eval()


@pytest.fixture(scope="module")
def maker():
    torch.manual_seed(0)
    return unet.build(WIDTH, CHANNELS).eval()


def material(noises: int = 3, heard: int = 2) -> unet.Material:
    dice = torch.Generator().manual_seed(0)
    table = targets.token_table(2, 5, WIDTH, seed=0)
    noise = torch.stack([autoencoder.seeded_noise(i, noises) for i in range(3)])
    latents = torch.randn(noise.shape, generator=dice)
    return unet.Material(latents, noise, table, table[:, None].repeat(1, heard, 1, 1), targets.begin_token(WIDTH, 0))


def pupil_of(model) -> encoder.Pupil:
    return encoder.Pupil(model, targets.token_table(2, encoder.token_count(), WIDTH, seed=0), PHONEMES)


def batch_of(frames: int = WINDOW_FRAMES, whole: tuple[bool, ...] = (True, True, True)) -> Batch:
    dice = torch.Generator().manual_seed(0)
    return Batch(
        frames=torch.randn(3, frames, MEL_BINS, generator=dice),
        labels=torch.tensor([0, 1, 2]),
        phonemes=torch.tensor([[1, 2, 3, 4, 1], [2, 2, 0, 0, 0], [0, 0, 0, 0, 0]]),
        lengths=torch.tensor([5, 2, 0]),
        whole=torch.tensor(whole),
    )


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def moved(before: dict[str, torch.Tensor], model: nn.Module) -> set[str]:
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


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


def test_sharpening_moves_the_decoder_alone(tmp_path):
    torch.manual_seed(0)
    model = autoencoder.build(8)
    before = state(model)
    latents, pictures = autoencoder.seeded_noise(0, 2), torch.zeros(2, 3, SIZE, SIZE, dtype=torch.uint8)
    autoencoder.sharpen(model, latents, pictures, Recipe(steps=2, rate=1e-3), tmp_path / "sharpen.pt", batch=2)
    changed = moved(before, model)
    assert changed
    assert all(name.startswith("decoder.") for name in changed)


def test_sharpening_lowers_its_loss(tmp_path):
    torch.manual_seed(0)
    model = autoencoder.build(8)
    latents, pictures = autoencoder.seeded_noise(0, 2), torch.full((2, 3, SIZE, SIZE), 200, dtype=torch.uint8)

    def loss() -> float:
        torch.manual_seed(1)
        with torch.no_grad():
            return float(autoencoder._sharpening_loss(model, latents, pictures, 2))

    before = loss()
    recipe = Recipe(steps=8, rate=5e-3, warmup=1)
    autoencoder.sharpen(model, latents, pictures, recipe, tmp_path / "sharpen.pt", batch=2)
    assert loss() < 0.9 * before


class Mosaic(nn.Module):
    """Decodes each cell to a square of its own colour."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(()))  # says where the model is, as a weight does

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        return interpolate(seen[:, :3], scale_factor=SIZE // LATENT_SIZE)


def mosaic(scale: float) -> tuple[SimpleNamespace, torch.Tensor, torch.Tensor]:
    """Two mosaics: a codec whose decoder is exact, latents that are the colours of the cells, and the pictures."""
    cells = torch.randint(256, (2, 3, LATENT_SIZE, LATENT_SIZE), generator=torch.Generator().manual_seed(0))
    pictures = interpolate(cells.float(), scale_factor=SIZE // LATENT_SIZE).byte()
    latents = scale * torch.cat([cells / 127.5 - 1, torch.zeros(2, 9, LATENT_SIZE, LATENT_SIZE)], dim=1)
    codec = SimpleNamespace(
        decoder=Mosaic(),
        config=SimpleNamespace(scaling_factor=scale),
    )
    return codec, latents, pictures


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_an_exact_decoder_costs_nothing_in_sharpening(scale):
    codec, latents, pictures = mosaic(scale)
    torch.manual_seed(0)
    assert float(autoencoder._sharpening_loss(codec, latents, pictures, 8)) == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("axis", [2, 3])
def test_a_decoder_that_is_a_cell_off_costs_much_in_sharpening(axis):
    codec, latents, pictures = mosaic(1.0)
    torch.manual_seed(0)
    assert float(autoencoder._sharpening_loss(codec, latents.roll(1, dims=axis), pictures, 8)) > 0.5


def test_the_loss_of_a_picture_adds_edges_and_colour_to_its_pixels():
    grey, red = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    red[:, 0] = 0.3
    assert float(autoencoder._difference(grey, grey)) == 0
    assert float(autoencoder._difference(grey + 0.3, grey)) == pytest.approx(0.3)
    assert float(autoencoder._difference(red, grey)) == pytest.approx(0.1 + 0.4 / 3)


def test_crops_are_pieces_of_the_pictures_and_half_of_them_mirrored():
    ramp = torch.arange(SIZE).to(torch.uint8).expand(1, 3, SIZE, SIZE)
    torch.manual_seed(0)
    crops = autoencoder._crops(ramp, 64)
    steps = crops[:, 0, 0].diff(dim=1) * 127.5
    assert crops.shape == (64, 3, autoencoder.CROP, autoencoder.CROP)
    torch.testing.assert_close(steps.abs(), torch.ones_like(steps), atol=1e-3, rtol=0)
    assert (steps[:, 0] > 0).float().mean() == pytest.approx(0.5, abs=0.2)


def test_the_encoder_gives_the_tokens_that_it_counts(ear):
    tokens = encoder.heard(ear, torch.randn(3, WINDOW_FRAMES, MEL_BINS))
    assert tokens.shape == (3, encoder.token_count(), WIDTH)


def test_a_window_of_two_seconds_becomes_twenty_five_tokens():
    assert encoder.token_count() == 25


def test_windows_are_encoded_independently_of_their_company(ear):
    frames = torch.randn(3, WINDOW_FRAMES, MEL_BINS)
    torch.testing.assert_close(encoder.heard(ear, frames)[1:2], encoder.heard(ear, frames[1:2]), atol=1e-4, rtol=1e-3)


def labelled_noise(options: Augmentation | None = None) -> Windows:
    sounds = [0.3 * torch.randn(4000, generator=torch.Generator().manual_seed(i)).numpy() for i in range(2)]
    clips = [LabelledClip(sound, name, Origin("test/x", "", "")) for sound, name in zip(sounds, "ab", strict=True)]
    return Windows(frame_set([Group(clips, 1.0)], ("a", "b"), 0, [[1, 2], [3]]), seed=0, options=options)


def test_the_encoder_and_its_tokens_have_widths_of_their_own():
    model = encoder.build(8, WIDTH, layers=1).eval()
    assert model.config.hidden_size == 8
    assert encoder.heard(model, torch.zeros(1, WINDOW_FRAMES, MEL_BINS)).shape[2] == WIDTH


@pytest.mark.parametrize("frames", [111, 150])
def test_the_pupil_also_learns_from_windows_of_other_lengths(ear, frames):
    assert torch.isfinite(pupil_of(ear).loss(batch_of(frames)))


def test_every_part_of_the_pupil_is_reached_by_the_loss():
    torch.manual_seed(0)
    pupil = pupil_of(encoder.build(WIDTH, WIDTH, layers=2))
    torch.autograd.backward(pupil.loss(batch_of()))
    unused = {name for name, value in pupil.named_parameters() if value.grad is None}
    assert unused <= {"model.masked_spec_embed"}


def test_a_head_hears_a_concept_wherever_in_the_window_it_is(ear):
    pupil = pupil_of(ear)
    hidden = torch.randn(1, 12, WIDTH)
    torch.testing.assert_close(
        pupil._found(pupil.heads[0], hidden), pupil._found(pupil.heads[0], hidden.roll(5, dims=1))
    )


def test_a_head_scores_a_steady_sound_as_any_of_its_frames(ear):
    pupil = pupil_of(ear)
    frame = torch.randn(1, 1, WIDTH)
    torch.testing.assert_close(
        pupil._found(pupil.heads[0], frame.expand(1, 40, WIDTH)), pupil._found(pupil.heads[0], frame)
    )


def spelling_by_hand(pupil: encoder.Pupil, hidden: torch.Tensor, batch: Batch, chosen: list[int]) -> float:
    """The mean over the chosen windows of what their phonemes cost, a phoneme."""
    total = 0.0
    for i in chosen:
        scores = log_softmax(pupil.spelling(layer_norm(hidden[i], (WIDTH,))), dim=-1)
        length = int(batch.lengths[i])
        cost = ctc_loss(
            scores, batch.phonemes[i, :length], torch.tensor(len(scores)), torch.tensor(length), reduction="sum"
        )
        total += float(cost.detach()) / max(length, encoder.MIN_LENGTH)
    return total / len(chosen)


@pytest.mark.parametrize("chosen", [[0, 1, 2], [0], [1, 2]])
def test_spelling_costs_the_mean_over_whole_windows_only(ear, chosen):
    pupil, batch = pupil_of(ear), batch_of(whole=tuple(i in chosen for i in range(3)))
    hidden = torch.randn(3, 20, WIDTH, generator=torch.Generator().manual_seed(2))
    assert float(pupil._spelt(hidden, batch).detach()) == pytest.approx(
        spelling_by_hand(pupil, hidden, batch, chosen), rel=1e-4
    )


def test_without_a_whole_window_spelling_costs_nothing(ear):
    batch = batch_of(whole=(False, False, False))
    assert float(pupil_of(ear)._spelt(torch.randn(3, 20, WIDTH), batch).detach()) == 0


def test_more_phonemes_than_frames_cost_nothing_rather_than_everything(ear):
    batch = batch_of(whole=(True, False, False))
    assert float(pupil_of(ear)._spelt(torch.randn(3, 4, WIDTH), batch).detach()) == 0


def test_the_loss_is_alignment_spotting_and_weighted_spelling(ear):
    pupil = pupil_of(ear)
    full, none = (float(pupil.loss(batch_of(whole=whole)).detach()) for whole in ((True,) * 3, (False,) * 3))
    seen = ear(encoder.stacked(batch_of().frames, WINDOW_FRAMES + WINDOW_FRAMES % 2), output_hidden_states=True)
    spelt = float(pupil._spelt(seen.hidden_states[pupil._spelled_at], batch_of()).detach())
    assert full - none == pytest.approx(encoder.SPELLING * spelt, rel=0.02)


def test_fitting_the_ear_changes_it_the_same_way_each_time(tmp_path):
    states = []
    for name in ("first.pt", "second.pt"):
        torch.manual_seed(0)
        pupil = pupil_of(encoder.build(WIDTH, WIDTH, layers=2))
        before = state(pupil)
        encoder.fit(pupil, labelled_noise(), Recipe(steps=2, rate=1e-3), tmp_path / name, batch=2)
        assert moved(before, pupil)
        states.append(state(pupil))
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_every_step_of_fitting_learns_from_its_own_batch(ear, tmp_path, monkeypatch):
    data, pupil, seen = labelled_noise(), pupil_of(ear), []

    def loss(batch: Batch) -> torch.Tensor:
        seen.append(batch.frames)
        return pupil.spelling.weight.sum()

    monkeypatch.setattr(pupil, "loss", loss)
    encoder.fit(pupil, data, Recipe(steps=3, rate=0.0), tmp_path / "ear.pt", batch=2)
    assert len(seen) == 3
    for step, frames in enumerate(seen):
        assert torch.equal(frames, data.batch(step, 2).frames)


def test_tokens_are_collected_for_every_label_and_idle(ear):
    found = encoder.heard_by_concept(ear, labelled_noise(Augmentation(idle=0.3)), 3, each=2)
    assert found.shape == (3, 2, encoder.token_count(), WIDTH)


def test_collected_tokens_are_those_of_windows_with_their_label(monkeypatch):
    labels = [2, 0, 0, 1, 0, 2, 1, 2]
    frames = torch.tensor(labels)[:, None, None] * 10.0 + torch.arange(8.0)[:, None, None]
    batch = Batch(frames, torch.tensor(labels), *[torch.zeros(8)] * 3)
    monkeypatch.setattr(encoder, "heard", lambda model, windows: windows)
    found = encoder.heard_by_concept(None, SimpleNamespace(batch=lambda step, size: batch), 3, each=2)
    assert found[:, :, 0, 0].tolist() == [[1, 2], [13, 16], [20, 25]]


def test_misheard_tokens_give_their_places_to_understood_ones():
    table = torch.eye(3)[:, None, :]
    heard = (
        table[torch.tensor([[0, 1, 0, 2], [1, 1, 1, 1], [0, 0, 1, 0]])] + torch.arange(4.0)[None, :, None, None] / 100
    )
    kept = encoder.understood(heard, table)
    assert torch.equal(kept[0], heard[0, [0, 2, 0, 2]])
    assert torch.equal(kept[1], heard[1])
    assert torch.equal(kept[2], table[2].expand(4, 1, 3))


def test_one_step_gives_latents_of_the_noise_shape(maker):
    noise, begin = autoencoder.seeded_noise(0, 2), targets.begin_token(WIDTH, 0)
    latents = unet.imagined(maker, noise, targets.token_table(1, 5, WIDTH, seed=0), begin)
    assert latents.shape == noise.shape


def test_pictures_depend_on_the_tokens_and_on_the_noise(maker):
    noise, begin = autoencoder.seeded_noise(0, 2), targets.begin_token(WIDTH, 0)
    table = targets.token_table(1, 5, WIDTH, seed=0)
    first = unet.imagined(maker, noise, table, begin)
    assert not torch.allclose(first, unet.imagined(maker, noise, table.flip(0), begin), atol=1e-4)
    assert not torch.allclose(first, unet.imagined(maker, noise.flip(0), table, begin), atol=1e-4)


def test_the_unet_attends_to_tokens_of_its_width_and_pools_them_too(maker):
    assert maker.config.cross_attention_dim == WIDTH
    assert maker.add_embedding.pool.k_proj.in_features == WIDTH
    reached = [name for name, _ in maker.named_parameters() if ".attn2.to_k" in name]
    assert any(name.startswith("down_blocks") for name in reached)
    assert any(name.startswith("up_blocks") for name in reached)
    assert not any(name.startswith(("down_blocks.0", "up_blocks.2")) for name in reached)


def test_the_table_is_imagined_as_it_is_heard_under_each_concepts_first_noises(maker):
    data = replace(material(noises=3), heard=torch.randn(3, 3, 5, WIDTH))
    latents = unet.imagined_table(maker, data, 2)
    assert latents.shape == (3, 2, *data.noise.shape[2:])
    torch.testing.assert_close(latents[1], unet.imagined(maker, data.noise[1, :2], data.heard[1, :2], data.begin))


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


def test_a_stopped_fitting_goes_on_and_ends_as_an_uninterrupted_one(tmp_path, monkeypatch):
    recipe, ended = Recipe(steps=4, rate=1e-3, warmup=1, checkpoint=2, average=0.5), []
    true_loss = unet._loss

    def begin(name: str) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model = unet.build(WIDTH, CHANNELS)
        unet.fit(model, material(), recipe, tmp_path / name, batch=2)
        return state(model)

    def until_the_fourth(*arguments) -> torch.Tensor:
        ended.append(1)
        if len(ended) == 4:
            raise KeyboardInterrupt
        return true_loss(*arguments)

    whole = begin("whole.pt")
    monkeypatch.setattr(unet, "_loss", until_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        begin("parts.pt")
    monkeypatch.setattr(unet, "_loss", true_loss)
    resumed = begin("parts.pt")
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_what_is_carried_over_is_another_picture_under_the_same_noise():
    torch.manual_seed(0)
    target, other, noise = torch.ones(400, 1, 1, 1), -torch.ones(400, 1, 1, 1), torch.zeros(400, 1, 1, 1)
    sample, times = unet._noised(target, other, noise, unet.scheduler().alphas_cumprod)
    noisy = sample[times < unet.TRAIN_STEPS - 1]
    assert (noisy < 0).float().mean() == pytest.approx(unet.CARRIED, abs=0.08)


def test_tokens_come_from_the_table_and_from_the_encoder_a_little_noisy():
    data = material()
    tokens = unet._tokens(replace(data, heard=data.heard + 100), torch.zeros(300, dtype=torch.long))
    heard = tokens.mean(dim=(1, 2)) > 50
    assert heard.float().mean() == pytest.approx(unet.HEARD, abs=0.1)
    off = tokens[~heard] - data.table[0]
    assert 0 < off.std() < unet.TOKEN_NOISE


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_glided_tokens_keep_their_length(share):
    dice = torch.Generator().manual_seed(0)
    first, second = torch.randn(4, 5, WIDTH, generator=dice), 3 * torch.randn(4, 5, WIDTH, generator=dice)
    glided = unet._glided(first, second, torch.full((4,), share))
    torch.testing.assert_close(
        glided.norm(dim=-1), share * first.norm(dim=-1) + (1 - share) * second.norm(dim=-1), rtol=1e-4, atol=1e-4
    )


def test_a_glide_runs_from_the_second_tokens_to_the_first():
    first, second = torch.randn(2, 5, WIDTH), torch.randn(2, 5, WIDTH)
    glided = unet._glided(first, second, torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(glided[0], first[0])
    torch.testing.assert_close(glided[1], second[1])


def test_a_blend_runs_from_the_second_to_the_first():
    first, second = torch.ones(3, 2, 2), torch.zeros(3, 2, 2)
    blended = unet._blend(first, second, torch.tensor([0.0, 0.25, 1.0]))
    assert blended[:, 0, 0].tolist() == [0.0, 0.25, 1.0]


def test_easing_keeps_the_ends_and_the_middle():
    assert unet._eased(torch.tensor([0.0, 0.5, 1.0])).tolist() == [0.0, 0.5, 1.0]
