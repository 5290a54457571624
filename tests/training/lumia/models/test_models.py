"""Ear and picture maker have the shapes that the bundle needs, learn, and treat noise and tokens as they say."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.functional import ctc_loss, layer_norm, log_softmax

from clavilux.training.features import MEL_BINS, WINDOW_FRAMES
from clavilux.training.lumia.data.clips import LabelledClip, Origin
from clavilux.training.lumia.models import encoder, targets, unet
from clavilux.training.lumia.models.augmented_windows import Augmentation, Batch, Group, Windows, frame_set
from clavilux.training.lumia.models.scene_set import SceneSet
from clavilux.training.lumia.models.train_loop import Recipe

WIDTH = 16
CHANNELS = (16, 16, 32)
PHONEMES = 5


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def ear():
    torch.manual_seed(0)
    return encoder.build(WIDTH, WIDTH, layers=2).eval()


@pytest.fixture(scope="module")
def maker():
    torch.manual_seed(0)
    return unet.build(WIDTH, CHANNELS).eval()


def noise(count: int, cells: tuple[int, int] = (8, 8), seed: int = 0) -> torch.Tensor:
    return torch.randn(count, unet.LATENT_CHANNELS, *cells, generator=torch.Generator().manual_seed(seed))


def scene_set(cells: tuple[int, int], count: int = 4) -> SceneSet:
    """Scenes of two concepts, and of light alone, whose latents are noise."""
    dice = torch.Generator().manual_seed(cells[1])
    return SceneSet(
        noise(count, cells),
        2 * torch.rand(count, 9, generator=dice) - 1,
        torch.tensor([[0, 1, 2], [1, 0, 2]])[torch.arange(count) % 2],
        torch.randn(count, 3, unet.LATENT_CHANNELS, *cells, generator=dice),
    )


def material(heard: int = 2) -> unet.Material:
    """Scenes of two sizes, tokens of three concepts, and lights at right angles to each other."""
    table = targets.token_table(2, 5, WIDTH, seed=0)
    axes = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(0))).Q
    return unet.Material(
        (scene_set((8, 8)), scene_set((8, 12))),
        (0.5, 0.5),
        table,
        table[:, None].repeat(1, heard, 1, 1),
        targets.begin_token(WIDTH, 0),
        2.5 * axes[:9],
    )


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


def prompts(count: int) -> torch.Tensor:
    return unet.with_begin(targets.token_table(count - 1, 5, WIDTH, seed=0), targets.begin_token(WIDTH, 0))


@pytest.mark.parametrize("cells", [(8, 8), (8, 12), (16, 28)])
def test_one_step_gives_latents_of_the_noise_shape(maker, cells):
    assert unet.imagined(maker, noise(2, cells), prompts(2)).shape == (2, unet.LATENT_CHANNELS, *cells)


def test_pictures_depend_on_the_tokens_and_on_the_noise(maker):
    given = noise(2)
    first = unet.imagined(maker, given, prompts(2))
    assert not torch.allclose(first, unet.imagined(maker, given, prompts(2).flip(0)), atol=1e-4)
    assert not torch.allclose(first, unet.imagined(maker, given.flip(0), prompts(2)), atol=1e-4)


def test_a_light_is_added_to_every_token_but_the_constant_one():
    data = material()
    tokens, numbers = torch.randn(2, 5, WIDTH), torch.zeros(2, 9)
    numbers[1, 3] = 0.5
    made = data.prompts(tokens, numbers)
    assert torch.equal(made[0], unet.with_begin(tokens, data.begin)[0])
    assert torch.equal(made[1, 0], data.begin)
    torch.testing.assert_close(made[1, 1:], tokens[1] + 0.5 * data.light[3])


def test_the_unet_attends_to_tokens_of_its_width_and_pools_them_too(maker):
    assert maker.config.cross_attention_dim == WIDTH
    assert maker.add_embedding.pool.k_proj.in_features == WIDTH
    reached = [name for name, _ in maker.named_parameters() if ".attn2.to_k" in name]
    assert any(name.startswith("down_blocks") for name in reached)
    assert any(name.startswith("up_blocks") for name in reached)
    assert not any(name.startswith(("down_blocks.0", "up_blocks.2")) for name in reached)


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
            return float(unet._loss(model, data, alphas, 4))

    before = loss()
    unet.fit(model, data, Recipe(steps=25, rate=3e-3, warmup=2, checkpoint=25), tmp_path / "unet.pt", batch=2)
    assert loss() < before


def test_a_stopped_fitting_goes_on_and_ends_as_an_uninterrupted_one(tmp_path, monkeypatch):
    recipe, ended = Recipe(steps=4, rate=1e-3, warmup=1, checkpoint=2, average=0.5), []
    true_loss = unet._loss

    def begin(name: str) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model = unet.build(WIDTH, CHANNELS)
        unet.fit(model, material(), recipe, tmp_path / name, batch=1)
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
    tokens = unet.tokens_of(replace(data, heard=data.heard + 100), torch.zeros(300, dtype=torch.long))
    heard = tokens.mean(dim=(1, 2)) > 50
    assert heard.float().mean() == pytest.approx(unet.HEARD, abs=0.1)
    off = tokens[~heard] - data.table[0]
    assert 0 < off.std() < unet.TOKEN_NOISE


def test_the_noise_of_tokens_says_nothing_of_the_light():
    data = material()
    off = unet.tokens_of(data, torch.zeros(50, dtype=torch.long)) - data.table[0]
    assert off.abs().max() > 0.1
    assert (off @ data.light.T).abs().max() < 1e-4


class Watched(nn.Module):
    """Stands in for the UNet, and keeps what it is given."""

    def __init__(self, seen: list[dict[str, torch.Tensor]]) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(()))  # says where the model is, as a weight does
        self.seen = seen

    def forward(self, sample, times, encoder_hidden_states):
        self.seen.append({"sample": sample, "times": times, "prompts": encoder_hidden_states})
        return SimpleNamespace(sample=torch.zeros_like(sample))


@pytest.fixture
def given(monkeypatch):
    """A function that returns what a UNet is given in twenty steps, and the targets that it is compared with."""
    seen: list[dict[str, torch.Tensor]] = []

    def compared(found: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        seen[-1]["target"] = target
        return found.mean()

    def steps(**changes: tuple[float, ...]) -> list[dict[str, torch.Tensor]]:
        for _ in range(20):
            unet._loss(Watched(seen), replace(material(), **changes), unet.scheduler().alphas_cumprod, 2)
        return seen

    monkeypatch.setattr(unet, "mse_loss", compared)
    return steps


def test_scenes_of_all_sizes_are_learnt_from_with_about_as_many_cells_at_once(given):
    assert {one["sample"].shape for one in given()} == {(8, 12, 8, 8), (5, 12, 8, 12)}


def test_a_size_without_a_share_is_never_learnt_from(given):
    assert {one["sample"].shape[-1] for one in given(shares=(0.0, 1.0))} == {12}


def test_what_is_learnt_is_a_thing_in_the_light_of_its_scene(given, monkeypatch):
    monkeypatch.setattr(unet, "BLENDED", 0.0)
    monkeypatch.setattr(unet, "TOKEN_NOISE", 0.0)
    data, scenes = material(), material().scenes[0]
    for one in given(shares=(1.0, 0.0)):
        for prompt, target in zip(one["prompts"], one["target"], strict=True):
            ((scene, slot),) = [(i, j) for i in range(4) for j in range(3) if torch.equal(scenes.latents[i, j], target)]
            tokens = data.table[scenes.concepts[scene, slot]][None]
            torch.testing.assert_close(prompt[None], data.prompts(tokens, scenes.numbers[scene : scene + 1]))


def test_without_moving_a_picture_keeps_its_place(monkeypatch):
    for name in ("ZOOMED", "TURNED", "SHIFTED"):
        monkeypatch.setattr(unet, name, 0.0)
    latents = noise(3, (8, 14))
    torch.testing.assert_close(unet._moved(latents), latents, atol=1e-4, rtol=1e-4)


def test_a_flat_picture_stays_flat_however_it_moves():
    flat = torch.full((16, 3, 8, 14), 0.7)
    torch.testing.assert_close(unet._moved(flat), flat)


def test_a_round_spot_in_the_middle_of_a_wide_picture_stays_round_when_it_turns(monkeypatch):
    for name, most in (("ZOOMED", 0.0), ("TURNED", 0.4), ("SHIFTED", 0.0)):
        monkeypatch.setattr(unet, name, most)
    down, across = torch.arange(32)[:, None] - 15.5, torch.arange(56)[None, :] - 27.5
    spot = torch.exp(-0.5 * (down**2 + across**2) / 16)
    assert (unet._moved(spot.expand(8, 1, 32, 56)) - spot).abs().max() < 0.02


def test_what_moves_goes_no_further_than_it_may():
    bar = torch.zeros(64, 1, 16, 28)
    bar[:, :, 7:9, 4:24] = 1
    moved = unet._moved(bar)
    rows = (moved * torch.arange(16.0)[:, None]).sum(dim=(1, 2, 3)) / moved.sum(dim=(1, 2, 3))
    assert (moved - bar).abs().mean(dim=(1, 2, 3)).min() > 0
    assert 0.2 < (rows - 7.5).abs().max() < unet.SHIFTED * 8 + 0.3


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
