"""The whole pipeline in miniature: data, text and audio encoders, codec, UNet, judge, export, figures; and it hears."""

import json
import logging
import shutil
from argparse import Namespace
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPTextModel, Wav2Vec2BertModel

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.manifest import LIGHT_NUMBERS
from clavilux.runtime.conditioning.concepts import ConceptIndex
from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.instrument import Instrument
from clavilux.runtime.loading import open_instrument
from clavilux.runtime.playing.render import render_frames
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.runtime.sound.sound_file import Clip
from clavilux.training.lumia import go_on, make, packed_set, parcel, publish
from clavilux.training.lumia.data import measuring_sets, music, noises, phonemes, sounds, speech
from clavilux.training.lumia.data.clips import LabelledClip, Origin, read_clips
from clavilux.training.lumia.data.concepts import CONCEPTS, NAMES
from clavilux.training.lumia.data.scenes import SIDE, Emoji
from clavilux.training.lumia.data.speech import Take, TakeCounts
from clavilux.training.lumia.data.synthesis import kinds
from clavilux.training.lumia.measure import evaluate, sheets
from clavilux.training.lumia.models import autoencoder, bundled_ear, bundled_parts, encoder, finish, judge
from clavilux.training.lumia.models.train_loop import Recipe
from clavilux.training.lumia.phases import Duration, PhaseRunner

SHORT = Recipe(steps=2, rate=1e-3, average=0.5, checkpoint=1)
PLAN = make.LumiaConfig(
    counts={"espeak": TakeCounts(name=1, synonym=0, other=1)},
    pictures=(2, 0, 0), scenes=(2, 1, 0), lights=(2, 0, 0), unseen=(1, 0, 0), judged=1, read=2, heard=1, told=1,
    width=16, ear_width=16, channels=(16, 16, 32), ramp=1, words=SHORT, ear=SHORT, practice=SHORT, codec=SHORT,
    maker=SHORT, polish=SHORT, finish=SHORT, judge=SHORT, reader=SHORT,
)  # fmt: skip
NEXT = replace(PLAN, codec_on=SHORT)
HEARD = ("dog", "rain", "ice cream")
EMOJIS, DRAWN = make._emojis, (make.SHARES, make.PRACTICE_SHARES)  # as they are before they are patched


class Letters:
    """Spells instead of saying: hibari's phonemes are not at hand."""

    def phonemize(self, text):
        return [text.lower()]


def tone(label: str, pitch: int) -> LabelledClip:
    sound = (0.5 * np.sin(np.arange(8000) * 2 * np.pi * pitch / SAMPLE_RATE)).astype(np.float32)
    return LabelledClip(sound, label, Origin("effect/tone", "a tone generator", "CC0-1.0", "A tone by somebody."))


def tones(_seed, split):
    yield from (tone(name, 200 + 50 * i + 7 * (split == "test")) for i, name in enumerate(("bell", "siren")))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The work folder and the bundle of a miniature run; espeak-ng speaks, really."""
    patch = pytest.MonkeyPatch()
    held_out = [Take("espeak", "en-us+m7", f"A {name}.", name) for name in HEARD]
    patch.setattr(speech, "held_out_takes", lambda: held_out)
    patch.setattr(sounds, "rendered_sounds", tones)
    patch.setattr(music, "music", lambda seed, split: iter(()))
    patch.setattr(noises, "noises", lambda seed, split: iter(()))
    patch.setattr(kinds, "takes", list)
    patch.setattr(phonemes, "load_hibari", lambda folder: Letters())
    patch.setattr(measuring_sets, "human_words", lambda folder: [])
    patch.setattr(measuring_sets, "real_sounds", lambda folder: [tone("dog", 300), tone("cat", 400)])
    patch.setattr(evaluate, "SLIDING_CLIPS", 1)
    patch.setattr(publish.sheets, "SHEET_VOICE", "espeak")
    patch.setattr(publish, "measured", cache(publish.measured))
    for shares in ("SHARES", "PRACTICE_SHARES"):
        patch.setattr(make, shares, {"espeak": 0.8, "sounds": 0.2})
    patch.setattr(make, "_emojis", lambda work: [Emoji(torch.full((4, SIDE, SIDE), 0.5))] * len(CONCEPTS))
    patch.setattr(judge, "CELLS", (4, 4))  # the judge learns from paintings of every concept
    patch.setattr(make, "_side_by_side", lambda lines, work, plan: [line(work, plan) for line in lines])
    threads, work = torch.get_num_threads(), tmp_path_factory.mktemp("work")
    handlers = logging.getLogger().handlers[:]
    make.make(work, work / "bundle", PLAN)
    yield work, work / "bundle"
    for handler in set(logging.getLogger().handlers) - set(handlers):
        handler.close()
    logging.getLogger().handlers[:] = handlers
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)
    patch.undo()


def test_the_bundle_opens_and_names_its_concepts(made):
    bundle = Bundle.open(made[1])
    assert bundle.concepts == NAMES
    assert bundle.conditioning.concepts.shape == (len(NAMES), 25, 16)


def test_the_bundle_says_that_it_paints_light_and_how_it_is_told_of_it(made):
    bundle = Bundle.open(made[1])
    assert bundle.light
    assert bundle.conditioning.light.shape == (len(LIGHT_NUMBERS), 16)
    stored = load_file(made[0] / "table.safetensors")
    np.testing.assert_array_equal(bundle.conditioning.light, stored["light"])


def test_a_tones_film_changes_with_its_pitch_because_of_light_alone(made):
    """No name is heard; after two steps of training pictures are nearly black, and their colours change little."""
    opened = open_instrument(made[1])
    low, high = (filmed(opened, pitch) for pitch in (220.0, 311.1))
    assert np.any(low[-1].pixels.mean(axis=(0, 1)) != high[-1].pixels.mean(axis=(0, 1)))
    unlit = [filmed(opened, pitch, lit=False)[-1].pixels for pitch in (220.0, 311.1)]
    np.testing.assert_array_equal(*unlit)


def filmed(opened, pitch: float, *, lit: bool = True):
    """Frames of a tone, of a bundle without names, and without light where it is not `lit`."""
    cached = replace(opened.bundle.conditioning, concepts=None)
    cached = cached if lit else replace(cached, light=None)
    player = Instrument(replace(opened.bundle, concepts=(), conditioning=cached), opened.models)
    player._conditioner.set_target = lambda *_, **__: None  # of a bundle without names all that is heard would count
    sound = (0.3 * np.sin(2 * np.pi * pitch * np.arange(SAMPLE_RATE) / SAMPLE_RATE)).astype(np.float32)
    return list(render_frames(player, Clip(sound[:, None], SAMPLE_RATE), 5.0))


def test_the_bundle_takes_typed_words(made):
    assert {"text_encoder.onnx", "tokenizer.json"} <= {path.name for path in made[1].iterdir()}


def test_the_bundle_hears_and_paints(made):
    clip = next(clip for clip in read_clips(made[0], "test") if clip.label == "dog")
    player = open_instrument(made[1])
    frames = list(render_frames(player, Clip(clip.sound[:, None], SAMPLE_RATE), 5.0))
    tokens = player._hop.tokens
    assert tokens is not None
    nearest = ConceptIndex(player.bundle.concepts, player.bundle.conditioning.concepts).nearest(tokens)
    assert nearest is not None
    assert nearest.name in NAMES
    assert frames[-1].pixels.shape == (256, 256, 3)


def test_the_prompt_is_the_first_token_and_twenty_five_heard_ones(made):
    bundle = Bundle.open(made[1])
    assert bundle.conditioning.idle.shape == (26, 16)
    np.testing.assert_array_equal(bundle.conditioning.idle[0], bundle.conditioning.bos)
    np.testing.assert_array_equal(bundle.conditioning.negative[0], bundle.conditioning.bos)


def test_concepts_are_the_text_encoders_own_tokens(made):
    stored = load_file(made[0] / "table.safetensors")
    np.testing.assert_allclose(Bundle.open(made[1]).conditioning.concepts, stored["table"][:-1], rtol=1e-3, atol=1e-6)


def test_token_statistics_are_those_of_heard_prompts(made):
    work, _ = made
    heard = make._listen(work, "encoder", each=1).flatten(0, 1)
    found = load_file(work / "conditioning.safetensors")
    torch.testing.assert_close(found["token_mean"][1:], heard.mean(dim=0))
    torch.testing.assert_close(found["token_std"][1:], heard.std(dim=0))


def test_the_card_holds_figures_times_and_credits(made):
    card = (made[1] / "README.md").read_text()
    assert "| held-out voices: espeak | 3 | 3 |" in card
    assert f"| the bundle's picture of each concept's own tokens | {len(NAMES)} |" in card
    assert "| polish |" in card
    assert "  * A tone by somebody." in card
    assert "@" not in card.replace("@lobehub", "").replace("R@", "")


def test_practice_begins_with_what_the_ear_has_learnt(made, tmp_path, monkeypatch):
    for name in ("ear.pt", "table.safetensors", "manifest.jsonl", "audio"):
        (tmp_path / name).symlink_to(made[0] / name)
    begun = []
    monkeypatch.setattr(encoder, "fit", lambda pupil, *_: begun.append(pupil.model.state_dict()))
    make._practice(tmp_path, PLAN)
    before = Wav2Vec2BertModel.from_pretrained(made[0] / "encoder_first").state_dict()
    assert all(torch.equal(value, begun[0][name]) for name, value in before.items())


def test_the_finish_sees_scenes_that_nothing_else_was_trained_on(made, tmp_path, monkeypatch):
    for name in ("polished", "vae_first", "table.safetensors", "heard.safetensors"):
        (tmp_path / name).symlink_to(made[0] / name)
    seen = []
    monkeypatch.setattr(finish, "fit", lambda model, codec, material, painted, *_: seen.extend(painted))
    make._finish(tmp_path, replace(PLAN, unseen=(2, 1, 0)))
    assert [(len(one.pictures), one.pictures.at(0, 0).shape[1:]) for one in seen] == [(2, (256, 256)), (1, (256, 448))]
    trained = [noise for scenes in make._scenes(made[0], PLAN) for noise in scenes.noise]
    for one in seen:
        alike = [noise for noise in trained if noise.shape == one.scenes[0].noise.shape]
        assert alike
        assert not any(torch.equal(one.scenes[0].noise, noise) for noise in alike)


def test_every_stage_is_recorded_with_its_time(made):
    records = {path.name.removesuffix(".done.json") for path in made[0].glob("*.done.json")}
    assert records == {
        "words", "data", "ear", "heard", "practice", "pictures", "codec", "scenes", "maker", "polish", "finish",
        "conditioning", "judge", "reader",
    }  # fmt: skip
    assert all(json.loads(path.read_text())["wall"] >= 0 for path in made[0].glob("*.done.json"))


def test_the_log_goes_to_the_work_folder(made):
    assert "ear: done" in (made[0] / "training.log").read_text()


def test_the_contact_sheets_are_drawn(made):
    assert all((made[0] / name).stat().st_size > 1000 for name in ("named.webp", "heard.webp"))


def test_an_ear_goes_on_from_that_of_a_bundle(made, tmp_path):
    given = Wav2Vec2BertModel.from_pretrained(made[0] / "encoder").state_dict()
    model = encoder.build(16, 16)
    bundled_ear.take_over(model, made[1])
    for name, value in model.state_dict().items():
        assert name in bundled_ear.UNTOLD or torch.allclose(value, given[name], atol=2e-3)
    for name in ("data.done.json", "manifest.jsonl", "audio", "recipe.json", "table.safetensors"):
        (tmp_path / name).symlink_to(made[0] / name)
    still = replace(PLAN, ear_of=made[1], ear_on=replace(SHORT, rate=0.0))
    make._ear(tmp_path, still)
    kept = Wav2Vec2BertModel.from_pretrained(tmp_path / "encoder_first").state_dict()
    assert all(torch.allclose(value, given[name], atol=2e-3) for name, value in kept.items() if value.dim())
    begun = publish._origins(tmp_path)
    assert begun["encoder"].startswith("trained on from lumia's, SHA-256 ")
    assert set(begun) == {"encoder"}
    assert publish._origins(made[0]) == {}


def test_an_ear_of_another_shape_or_of_no_bundle_is_refused(made, tmp_path):
    with pytest.raises(ClaviluxError, match=r"expected \(64,\); an ear goes on from a bundle"):
        bundled_ear.take_over(encoder.build(32, 16), made[1])
    with pytest.raises(ClaviluxError, match="expected the encoder of a bundle"):
        bundled_ear.take_over(encoder.build(16, 16), tmp_path)
    (tmp_path / bundled_ear.GRAPH).write_bytes(b"none")
    with pytest.raises(ClaviluxError, match="is damaged; expected the encoder of a bundle"):
        bundled_ear.take_over(encoder.build(16, 16), tmp_path)


@pytest.fixture(scope="module")
def gone_on(made, tmp_path_factory):
    """The work folder of the next lumia, filled from the bundle."""
    work = tmp_path_factory.mktemp("next") / "work"
    go_on.go_on(made[1], work, NEXT)
    return work


def test_the_next_lumia_begins_with_the_parts_of_a_bundle(made, gone_on):
    for before, after, model in (
        ("encoder", "encoder_first", Wav2Vec2BertModel),
        ("encoder", "encoder", Wav2Vec2BertModel),
        ("text_encoder", "text_encoder", CLIPTextModel),
        ("unet", "maker", UNet2DConditionModel),
        ("vae", "vae_first", AutoencoderTiny),
    ):
        given, found = (model.from_pretrained(one / name) for one, name in ((made[0], before), (gone_on, after)))
        unknown = {"encoder": bundled_ear.UNTOLD, "vae": {name for name in given.state_dict() if name[:3] == "enc"}}
        for name, value in given.state_dict().items():
            known = name not in unknown.get(before, set())
            assert not known or torch.allclose(value, found.state_dict()[name], rtol=1e-3, atol=2e-3), (before, name)
    scales = [AutoencoderTiny.load_config(one)["scaling_factor"] for one in (made[0] / "vae", gone_on / "vae_first")]
    assert scales[0] == pytest.approx(scales[1])
    tables = [load_file(work / make.TABLE) for work in (made[0], gone_on)]
    for name, value in tables[0].items():
        torch.testing.assert_close(value, tables[1][name], rtol=1e-3, atol=1e-5)


def test_what_is_left_of_the_next_lumia_is_trained_as_ever(gone_on):
    make.train_parts(gone_on, NEXT)
    log = (gone_on / "training.log").read_text()
    assert all(f"{name}: done before" in log for name in (*go_on.TAKEN, "pictures", "codec"))
    assert {"polish.pt", "finish.pt", "unet", "vae", "conditioning.safetensors"} <= {
        one.name for one in gone_on.iterdir()
    }
    begun = publish._origins(gone_on)
    assert begun["unet"].startswith("trained on from lumia's, SHA-256 ")
    assert begun["encoder"].startswith("taken over from lumia's, SHA-256 ")
    assert len({text.rpartition(" ")[2] for text in begun.values()}) == len(begun)  # each of its own graph
    assert "scratch" not in publish._told(begun)


def test_a_bundle_of_another_recipe_is_not_gone_on_from(made, tmp_path):
    with pytest.raises(ClaviluxError, match=r"has finished .+ already; expected a new folder"):
        go_on.go_on(made[1], made[0], NEXT)
    (tmp_path / "decoder.onnx").write_bytes((made[1] / "text_encoder.onnx").read_bytes())
    with pytest.raises(ClaviluxError, match="is of another network, or another export"):
        bundled_parts.take_over(autoencoder.build(), "decoder.onnx", made[1], tmp_path)
    with pytest.raises(ClaviluxError, match="cannot be read; expected a graph of a bundle"):
        bundled_parts.take_over(autoencoder.build(), "encoder.onnx", made[1], tmp_path)
    manifest = json.loads((made[1] / "bundle.json").read_text())
    shutil.copytree(made[1], tmp_path / "dark")
    (tmp_path / "dark" / "bundle.json").write_text(json.dumps({**manifest, "light": False}))
    with pytest.raises(ClaviluxError, match="paints no light, or knows other names; expected a bundle of this recipe"):
        go_on.go_on(tmp_path / "dark", tmp_path / "work", NEXT)


def test_an_interrupted_reading_back_goes_on(made, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(go_on, "_read_back", lambda *_: {})
    monkeypatch.setattr(go_on, "_new_encoder", stop)
    with pytest.raises(KeyboardInterrupt):
        go_on.go_on(made[1], tmp_path, NEXT)
    monkeypatch.setattr(go_on, "_new_encoder", lambda *_: None)
    go_on.go_on(made[1], tmp_path, NEXT)
    assert {one.name.removesuffix(".done.json") for one in tmp_path.glob("*.done.json")} >= {*go_on.TAKEN, "codec"}


def test_judged_pictures_are_painted_from_noise_in_the_colour_of_their_light(made, monkeypatch):
    """As the instrument paints them."""
    paint = sheets.pipeline(made[1])
    tokens, numbers = np.zeros((25, 16), np.float32), np.zeros(len(LIGHT_NUMBERS), np.float32)
    seen = []
    monkeypatch.setattr(sheets, "coloured", lambda noise, light: seen.append(light) or noise)
    paint(tokens, 0, numbers)
    np.testing.assert_array_equal(seen, [numbers])


def test_mistakes_are_told_before_anything_is_trained(made, tmp_path):
    def run(**more):
        return make.run(asked(**{"work": tmp_path / "work", "out": tmp_path / "bundle", **more}), PLAN)

    for mistake in ({"ear": tmp_path}, {"out": tmp_path}, {"out": made[0], "packed": tmp_path / "packed.npz"}):
        with pytest.raises(ClaviluxError, match=r"bundle.json|no bundle|no parcel"):
            run(**mistake)
    assert not (tmp_path / "work").exists()
    with pytest.raises(ClaviluxError, match=r"the ear .+ was trained from scratch, expected trained on"):
        run(work=made[0], ear=made[1])
    with pytest.raises(ClaviluxError, match="was begun with other counts"):
        make.run(asked(*made), replace(PLAN, counts={}))


def test_a_concept_without_a_clip_is_told(made, monkeypatch):
    monkeypatch.setattr(make, "NAMES", (*NAMES, "hat stand"))
    with pytest.raises(ClaviluxError, match="has no clip of hat stand; expected one of each"):
        make.training_windows(made[0])


def test_findings_are_kept_as_numbers(made):
    findings = json.loads((made[0] / "findings.json").read_text())
    assert {one["what"] for one in findings["hearing"]["scores"]} >= {"held-out voices, all"}
    assert len(findings["verdicts"]) == 2
    assert all(0 <= one["heard"]["first"] <= one["heard"]["fifth"] <= 1 for one in findings["verdicts"])
    assert -1 <= findings["light"]["shown"]["correlations"]["place"] <= 1


def test_the_default_plan_takes_more_of_everything():
    plan = make.LumiaConfig()
    assert set(plan.counts) == {"espeak", "flite", "festival", "pico", "kokoro"}
    assert plan.ear.steps > 1000


def test_every_engine_that_is_trained_on_is_drawn_in_a_share():
    counts = make.LumiaConfig().counts
    assert set(counts) <= {engine for engines in packed_set.KINDS.values() for engine in engines}
    for shares in DRAWN:
        assert set(counts) < set(shares) == set(packed_set.KINDS)
        assert sum(shares.values()) == pytest.approx(1.0)


def test_training_hours_are_those_of_all_phases(made):
    findings = publish.measured(*made)
    times = {"ear": Duration(wall=100, processor=3600), "maker": Duration(wall=1, processor=1800)}
    assert "1.5 processor hours" in publish.card(findings, times, [])


def asked(work: Path, out: Path, packed: Path | None = None, **more: Any) -> Namespace:
    return Namespace(**{"work": work, "out": out, "set": packed, "device": "cpu", "minutes": None, "ear": None, **more})


@pytest.fixture
def packed(made, tmp_path, monkeypatch):
    """A packed set of the miniature's data, with pictures of one colour."""
    for concept in CONCEPTS:
        Image.new("RGBA", (8, 8)).save(tmp_path / f"{concept.code}.webp")
    monkeypatch.setattr(packed_set, "picture_folder", lambda work: tmp_path)
    packed_set.pack(made[0], tmp_path / "packed.npz")
    return tmp_path / "packed.npz"


def test_all_is_trained_from_a_packed_set_and_comes_home_in_a_parcel(made, packed, tmp_path):
    work, home = tmp_path / "work", tmp_path / "home"
    assert make.run(asked(work, tmp_path / "parcel", packed), PLAN) == 0
    parcel.unwrap(tmp_path / "parcel", home)
    assert PhaseRunner(home).times().keys() == PhaseRunner(made[0]).times().keys() - {"data"}
    there, here = (Wav2Vec2BertModel.from_pretrained(one / "encoder").state_dict() for one in (work, home))
    assert all(torch.equal(value.half().float(), here[name]) for name, value in there.items() if value.dim())
    for name in ("data.done.json", "manifest.jsonl", "audio", "recipe.json"):
        (home / name).symlink_to(made[0] / name)
    make.train_parts(home, PLAN)  # nothing is left to do


def test_when_time_is_up_the_exit_code_says_so_and_the_same_command_goes_on(packed, tmp_path):
    work, out = tmp_path / "work", tmp_path / "parcel"
    assert make.run(asked(work, out, packed, minutes=1e-9), PLAN) == make.EXIT_STOPPED
    log = (work / "training.log").read_text()
    assert "words: time is up before it begins; the same command goes on" in log
    PhaseRunner(work).run("words", lambda: make._words(work, PLAN))
    assert make.run(asked(work, out, packed, minutes=1e-9), PLAN) == make.EXIT_STOPPED
    parcel.unwrap(out, tmp_path / "home")
    assert list(PhaseRunner(tmp_path / "home").times()) == ["words"]


def test_a_work_folder_is_trained_from_what_it_was_begun_with(made, packed, tmp_path):
    work = tmp_path / "work"
    make.adopt(packed, work)
    make.adopt(packed, work)
    with pytest.raises(ClaviluxError, match="work was begun with a packed set; give it with --set, or another --work"):
        make.adopt(None, work)
    with pytest.raises(ClaviluxError, match="was begun with the whole data; leave --set out, or give another --work"):
        make.adopt(packed, made[0])
    packed_set.pack(made[0], tmp_path / "other.npz", packed.stat().st_size - 1)
    with pytest.raises(ClaviluxError, match=r"was begun with another set than .*other\.npz; give another --work"):
        make.adopt(tmp_path / "other.npz", work)
    make.adopt(None, made[0])


def test_things_are_those_of_the_packed_set_or_of_the_package(packed, tmp_path):
    work = tmp_path / "work"
    make.adopt(packed, work)
    for place in (work, tmp_path / "another"):
        found = EMOJIS(place)
        assert len(found) == len(CONCEPTS)
        assert found[0].layers.shape == (4, SIDE, SIDE)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("gpu", "no device 'gpu'; expected cpu, cuda or cuda:1"),
        ("cuda:9", r"torch .* sees (no|\d) cards; expected cuda:9: use --device cpu"),
    ],
)
def test_a_device_that_is_not_here_is_refused_in_a_line(text, line):
    with pytest.raises(ClaviluxError, match=line):
        make.check_device(text)
    assert make.check_device("cpu") == "cpu"


def test_a_device_and_a_deadline_reach_every_recipe():
    config = make.LumiaConfig().on("cuda", 12.0)
    recipes = [value for value in vars(config).values() if isinstance(value, Recipe)]
    assert {(one.device, one.deadline) for one in recipes} == {(config.device, config.deadline)} == {("cuda", 12.0)}
    assert len(recipes) == 11
    assert config.on("cpu") == make.LumiaConfig()
