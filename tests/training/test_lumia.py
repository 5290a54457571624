"""A miniature of the whole pipeline, on tones instead of words: data to a bundle that opens, twice the same."""

import json
import logging

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from runtime.bundle import Bundle
from training import lumia, publish, sounds, speech
from training.clips import ClipBank
from training.concepts import CONCEPTS, NAMES
from training.stages import Recipe, Times

SHORT = Recipe(steps=2, rate=1e-3, average=0.5, checkpoint=1)
PLAN = lumia.Plan(
    takes={"flite": 1}, noises=1, heard=1, width=16, ramp=1, ear=SHORT, codec=SHORT, maker=SHORT, polish=SHORT
)


def spoken(concept: int) -> np.ndarray:
    return (0.5 * np.sin(np.arange(4000) * (0.05 + 0.03 * concept))).astype(np.float32)


def tones(voice: str) -> ClipBank:
    return ClipBank([spoken(i) for i in range(len(NAMES))], list(NAMES), [voice] * len(NAMES))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The work folder and the bundle of a miniature run."""
    patch = pytest.MonkeyPatch()
    patch.setattr(speech, "synthesize", lambda takes, folder: tones(takes[0].name))
    patch.setattr(speech, "held_out_takes", lambda: [speech.Take("hibari", "heart", "A dog.", "dog")])
    patch.setattr(sounds, "sound_bank", lambda seed, held_out: tones("effect/0"))
    patch.setattr(sounds, "credits", lambda: ["A sound by somebody."])
    patch.setattr(lumia, "_emojis", lambda work: [None] * (len(CONCEPTS) + 1))
    patch.setattr(lumia, "_side_by_side", lambda lines, work, plan: [line(work, plan) for line in lines])
    threads, work = torch.get_num_threads(), tmp_path_factory.mktemp("work")
    handlers = logging.getLogger().handlers[:]
    lumia.make(work, work / "bundle", PLAN)
    yield work, work / "bundle"
    for handler in set(logging.getLogger().handlers) - set(handlers):
        handler.close()
    logging.getLogger().handlers[:] = handlers
    torch.set_num_threads(threads)
    patch.undo()


def test_the_bundle_opens_and_names_its_concepts(made):
    bundle = Bundle.open(made[1])
    assert bundle.concepts == NAMES
    assert bundle.conditioning.concepts.shape == (len(NAMES), 25, 16)


def test_the_prompt_is_the_first_token_and_twenty_five_heard_ones(made):
    bundle = Bundle.open(made[1])
    assert bundle.conditioning.idle.shape == (26, 16)
    np.testing.assert_array_equal(bundle.conditioning.idle[0], bundle.conditioning.bos)
    np.testing.assert_array_equal(bundle.conditioning.negative[0], bundle.conditioning.bos)


def test_token_statistics_are_those_of_heard_prompts(made):
    work, _ = made
    heard = load_file(work / "heard.safetensors")["heard"].flatten(0, 1)
    found = load_file(work / "conditioning.safetensors")
    torch.testing.assert_close(found["token_mean"][1:], heard.mean(dim=0))
    torch.testing.assert_close(found["token_std"][1:], heard.std(dim=0))


def test_the_card_holds_figures_times_and_credits(made):
    card = (made[1] / "README.md").read_text()
    assert "| hibari, whole word | 28 |" in card
    assert "| polish |" in card
    assert "  * A sound by somebody." in card
    assert "@" not in card.replace("@lobehub", "")


def test_every_stage_is_recorded_with_its_time(made):
    records = {path.name.removesuffix(".done.json") for path in made[0].glob("*.done.json")}
    stages = {"speech_flite", "sounds", "ear", "codec", "latents", "maker", "polish", "conditioning", "measuring_clips"}
    assert records == stages
    assert all(json.loads(path.read_text())["wall"] >= 0 for path in made[0].glob("*.done.json"))


def test_the_log_goes_to_the_work_folder(made):
    assert "ear: done" in (made[0] / "training.log").read_text()


def test_the_contact_sheet_has_a_picture_per_concept(made):
    assert (made[0] / "sheet.png").stat().st_size > 1000


def test_the_default_plan_takes_more_of_everything():
    plan = lumia.Plan()
    assert set(plan.takes) == set(lumia.WEIGHTS)
    assert plan.ear.steps > 1000


def test_training_minutes_leave_the_measuring_clips_out():
    times = {"ear": Times(wall=100, processor=600), "measuring_clips": Times(wall=1, processor=9000)}
    assert "5 minutes on two cores" in publish.card([], times, [])
