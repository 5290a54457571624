"""A folder of clips keeps what it is given, each side of the split apart; and tidying leaves the sound."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from clavilux.runtime.errors import ClaviluxError
from clavilux.training.lumia.data.clips import (
    FADE,
    MANIFEST,
    MARGIN,
    PEAK,
    SAMPLE_RATE,
    LabelledClip,
    Origin,
    join_parts,
    last_part,
    of_engine,
    read_clips,
    read_part,
    tidy,
    with_peak,
    write_clips,
)

KAL = Origin("flite/kal", "Debian flite", "CMU")
HORSE = Origin("recording/Horse", "Debian openttd-opensfx", "CC-BY-3.0", "A horse by somebody.")


def tone(seconds: float, rate: int = SAMPLE_RATE, hertz: float = 440.0) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate).astype(np.float32)


def clips() -> list[LabelledClip]:
    return [
        LabelledClip(0.5 * tone(0.1), "dog", KAL, "A dog."),
        LabelledClip(0.25 * tone(0.2, hertz=900), "horse", HORSE),
        LabelledClip(0.25 * tone(0.05), "", KAL, "Maybe later."),
    ]


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_written_clips_come_back_within_one_step_of_sixteen_bits(tmp_path):
    write_clips(tmp_path, "a", "train", clips())
    join_parts(tmp_path)
    found = read_clips(tmp_path, "train")
    assert [(one.label, one.origin, one.text) for one in found] == [
        (one.label, one.origin, one.text) for one in clips()
    ]
    for before, after in zip(clips(), found, strict=True):
        assert after.sound.dtype == np.float32
        np.testing.assert_allclose(after.sound, before.sound, atol=1 / 32767)


def test_a_line_says_what_a_clip_is_and_who_made_it(tmp_path):
    _, line, _ = lines(write_clips(tmp_path, "a", "test", clips()))
    assert line == {
        "audio": "audio/a/00001.flac",
        "caption": "horse",
        "concept": "horse",
        "split": "test",
        "text": "",
        "seconds": 0.2,
        "voice": "recording/Horse",
        "source": "Debian openttd-opensfx",
        "licence": "CC-BY-3.0",
        "credit": "A horse by somebody.",
    }


def test_the_caption_is_the_concept_or_else_what_is_said(tmp_path):
    assert [line["caption"] for line in lines(write_clips(tmp_path, "a", "train", clips()))] == [
        "dog",
        "horse",
        "Maybe later.",
    ]


def test_audio_lies_as_mono_flac_of_sixteen_bits_where_its_line_says(tmp_path):
    for line in lines(write_clips(tmp_path, "a", "train", clips())):
        found = soundfile.info(tmp_path / str(line["audio"]))
        assert (found.format, found.subtype, found.channels, found.samplerate) == ("FLAC", "PCM_16", 1, SAMPLE_RATE)


def test_a_silent_clip_is_left_out(tmp_path):
    silent = LabelledClip(np.zeros(0, np.float32), "dog", KAL)
    write_clips(tmp_path, "a", "train", [silent, *clips()])
    join_parts(tmp_path)
    assert len(read_clips(tmp_path, "train")) == len(clips())


def test_each_side_of_the_split_is_read_alone(tmp_path):
    write_clips(tmp_path, "a", "train", clips()[:2])
    write_clips(tmp_path, "b", "test", clips()[2:])
    join_parts(tmp_path)
    assert [one.label for one in read_clips(tmp_path, "train")] == ["dog", "horse"]
    assert [one.label for one in read_clips(tmp_path, "test")] == [""]


def test_the_manifest_holds_the_parts_in_the_order_of_their_names(tmp_path):
    for name in ("b", "c", "a"):
        write_clips(tmp_path, name, "train", clips()[:2])
    found = [str(line["audio"]).split("/")[1] for line in lines(join_parts(tmp_path))]
    assert found == ["a", "a", "b", "b", "c", "c"]


def test_a_part_appears_only_when_all_its_clips_are_written(tmp_path):
    def until_the_second():
        yield clips()[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_clips(tmp_path, "a", "train", until_the_second())
    assert not list((tmp_path / "parts").glob("*.jsonl"))
    join_parts(tmp_path)
    assert read_clips(tmp_path, "train") == []


def test_no_partial_file_stays(tmp_path):
    write_clips(tmp_path, "a", "train", clips())
    join_parts(tmp_path)
    assert not list(tmp_path.rglob(".*"))


def test_a_folder_without_a_manifest_is_refused_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(ClaviluxError) as error:
        read_clips(tmp_path, "train")
    assert (
        f"{tmp_path} has no {MANIFEST}; make it with `python -m clavilux.training.lumia.data.build {tmp_path}`"
        == str(error.value)
    )


def test_the_engine_is_the_first_part_of_the_voice():
    assert [one.engine for one in clips()] == ["flite", "recording", "flite"]


def test_clips_are_chosen_by_their_engines_in_order():
    assert [one.label for one in of_engine(clips(), "flite")] == ["dog", ""]
    assert [one.label for one in of_engine(clips(), "recording", "flite")] == ["dog", "horse", ""]
    assert of_engine(clips(), "flit") == []


def test_tidying_cuts_the_silent_ends_but_keeps_a_margin():
    silence = np.zeros(SAMPLE_RATE, np.float32)
    tidied = tidy(np.concatenate([silence, tone(0.5), silence]), SAMPLE_RATE)
    assert len(tidied) == pytest.approx(0.5 * SAMPLE_RATE + 2 * MARGIN, abs=20)


def test_tidying_sets_the_peak():
    assert np.abs(tidy(0.01 * tone(0.3), SAMPLE_RATE)).max() == pytest.approx(PEAK)


def test_tidying_resamples():
    assert len(tidy(tone(1.0, rate=24_000), 24_000)) == pytest.approx(SAMPLE_RATE, rel=0.02)


def test_tidying_mixes_channels_down():
    assert tidy(np.stack([tone(0.2), tone(0.2)], axis=1), SAMPLE_RATE).ndim == 1


def test_tidying_cuts_what_is_too_long():
    assert len(tidy(tone(3.0), SAMPLE_RATE, longest=1.0)) == SAMPLE_RATE


def test_of_what_is_too_long_the_last_part_is_kept_and_faded_in():
    long = np.concatenate([tone(2.0), 0.5 * tone(1.0, hertz=900)])
    kept = last_part(long, 1.0)
    assert len(kept) == SAMPLE_RATE
    assert np.abs(kept).max() == pytest.approx(PEAK)
    assert abs(kept[0]) == 0.0
    np.testing.assert_allclose(kept[FADE:], long[-SAMPLE_RATE + FADE :] * PEAK / 0.5, atol=2e-3)


def test_what_is_short_enough_stays_whole():
    np.testing.assert_array_equal(last_part(tone(0.5), 1.0), tone(0.5))


def test_a_peak_is_set_and_silence_stays():
    assert np.abs(with_peak(tone(0.1), 0.25)).max() == pytest.approx(0.25)
    assert not with_peak(np.zeros(10, np.float32)).any()


def test_a_part_is_read_alone_in_its_order(tmp_path):
    write_clips(tmp_path, "a", "train", clips()[:2])
    write_clips(tmp_path, "b", "test", clips()[2:])
    assert [one.label for one in read_part(tmp_path, "a")] == ["dog", "horse"]
    assert read_part(tmp_path, "b")[0].origin == KAL


def test_silence_comes_back_empty():
    assert len(tidy(np.zeros(1000, np.float32), SAMPLE_RATE)) == 0
