"""Inputs: found by name and host API, in the words of the list, with the channels that are heard."""

import os
import shlex
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clavilux.runtime.errors import DeviceError
from clavilux.runtime.sound import inputs as inputs_module
from clavilux.runtime.sound.inputs import Input, find_again, find_input, listed, quoted

USB = "Microphone (USB Audio CODEC on the desk)"  # 40 characters, of which MME shows 31
HEADPHONES = "Headphones (USB Audio CODEC) [Loopback]"


def offered(api: str, name: str, channels: int = 2, **more: bool | str) -> Input:
    return Input(name, channels, 48_000, is_default=bool(more.pop("is_default", False)), api=api, **more)


WINDOWS = listed(
    [
        offered("MME", "Microsoft Sound Mapper - Input"),
        offered("MME", USB[:31].rstrip(), is_default=True),
        offered("DirectSound", "Primary Sound Capture Driver", is_default=True),
        offered("DirectSound", USB),
        offered("WASAPI", USB, is_default=True),
        offered("WASAPI", HEADPHONES, is_loopback=True),
        offered("WDM-KS", USB),
    ]
)
LINUX = listed(
    [
        offered("PulseAudio", "alsa_output.usb-Focusrite.monitor", is_loopback=True, label="Monitor of Scarlett"),
        offered("PulseAudio", "alsa_input.usb-Focusrite", channels=18, is_default=True, label="Scarlett 18i20"),
        offered("PulseAudio", "bluez_input.00:11:22:33:44:55", channels=1, label="Headset"),
        offered("ALSA", "HDA Intel PCH: ALC257 Analog", label="HDA Intel PCH: ALC257 Analog (hw:0,0)"),
        offered("ALSA", "default", channels=32, is_default=True, converts=True),
    ]
)
TWINS = listed([offered("WASAPI", "USB Audio"), offered("WASAPI", "Line"), offered("WASAPI", "USB Audio")])


def found(inputs: list[Input], wanted: str) -> str:
    return find_input(inputs, wanted).source.words


def refusal(inputs: list[Input], wanted: str) -> str:
    with pytest.raises(DeviceError) as caught:
        find_input(inputs, wanted)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("inputs", [WINDOWS, LINUX, TWINS])
def test_the_words_of_the_list_find_each_input_again(inputs: list[Input]) -> None:
    assert [found(inputs, source.words) for source in inputs] == [source.words for source in inputs]
    assert [found(inputs, str(source.index)) for source in inputs] == [source.words for source in inputs]


@pytest.mark.parametrize("wanted", ["USB Audio", "usb audio", "microphone", USB])
def test_what_stands_in_four_host_apis_is_taken_from_the_first_in_order(wanted: str) -> None:
    assert found(WINDOWS, wanted) == f"WASAPI/{USB}"


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (f"MME/{USB[:31]}", f"MME/{USB[:31].rstrip()}"),
        (USB[:31], f"MME/{USB[:31].rstrip()}"),
        ("mme/usb", f"MME/{USB[:31].rstrip()}"),
        ("DirectSound/usb audio", f"DirectSound/{USB}"),
        ("WDM-KS/Mic", f"WDM-KS/{USB}"),
        ("headphones", f"WASAPI/{HEADPHONES}"),
        ("loopback", f"WASAPI/{HEADPHONES}"),
        ("primary", "DirectSound/Primary Sound Capture Driver"),
    ],
)
def test_a_host_api_or_a_whole_name_chooses_among_them(wanted: str, words: str) -> None:
    assert found(WINDOWS, wanted) == words


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("scarlett", "PulseAudio/alsa_input.usb-Focusrite"),  # an input before what is played
        ("focusrite", "PulseAudio/alsa_input.usb-Focusrite"),
        ("Monitor of Scarlett", "PulseAudio/alsa_output.usb-Focusrite.monitor"),
        ("default", "ALSA/default"),
        ("hw:0,0", "ALSA/HDA Intel PCH: ALC257 Analog"),
        ("pulseaudio/head", "PulseAudio/bluez_input.00:11:22:33:44:55"),
    ],
)
def test_other_names_find_an_input_too(wanted: str, words: str) -> None:
    assert found(LINUX, wanted) == words


def test_host_apis_stand_in_the_list_as_they_are_preferred() -> None:
    assert [source.api for source in WINDOWS] == [
        "WASAPI",
        "WASAPI",
        "WDM-KS",
        "DirectSound",
        "DirectSound",
        "MME",
        "MME",
    ]
    assert [source.index for source in WINDOWS] == list(range(7))


@pytest.mark.parametrize("inputs", [WINDOWS, LINUX])
def test_one_input_is_the_default_that_of_the_first_host_api_which_has_one(inputs: list[Input]) -> None:
    (default,) = [source for source in inputs if source.is_default]
    assert default.words in (f"WASAPI/{USB}", "PulseAudio/alsa_input.usb-Focusrite")


def test_equal_names_in_one_host_api_are_numbered() -> None:
    assert [source.words for source in TWINS] == ["WASAPI/USB Audio #1", "WASAPI/Line", "WASAPI/USB Audio #2"]
    assert find_input(TWINS, "USB Audio #2").source == TWINS[2]
    assert find_input(TWINS, "usb audio #2:1").use == (1,)
    assert refusal(TWINS, "USB Audio").startswith("2 inputs are called 'USB Audio'; take one of ")


@pytest.mark.parametrize(
    ("wanted", "words", "use"),
    [
        ("scarlett:3", "PulseAudio/alsa_input.usb-Focusrite", (3,)),
        ("PulseAudio/alsa_input.usb-Focusrite:1+2", "PulseAudio/alsa_input.usb-Focusrite", (1, 2)),
        ("scarlett:18+1+7", "PulseAudio/alsa_input.usb-Focusrite", (18, 1, 7)),
        ("0:2", "PulseAudio/alsa_output.usb-Focusrite.monitor", (2,)),
        ("bluez_input.00:11:22:33:44:55", "PulseAudio/bluez_input.00:11:22:33:44:55", ()),
        ("bluez_input.00:11:22:33:44:55:1", "PulseAudio/bluez_input.00:11:22:33:44:55", (1,)),
        ("HDA Intel PCH: ALC257 Analog", "ALSA/HDA Intel PCH: ALC257 Analog", ()),
        ("HDA Intel PCH: ALC257 Analog:2", "ALSA/HDA Intel PCH: ALC257 Analog", (2,)),
        ("hw:0,0", "ALSA/HDA Intel PCH: ALC257 Analog", ()),
        ("hw:0", "ALSA/HDA Intel PCH: ALC257 Analog", ()),
        ("scarlett : 3", "PulseAudio/alsa_input.usb-Focusrite", (3,)),
    ],
)
def test_channels_stand_after_the_last_colon_unless_that_is_part_of_the_name(
    wanted: str, words: str, use: tuple[int, ...]
) -> None:
    chosen = find_input(LINUX, wanted)
    assert (chosen.source.words, chosen.use) == (words, use)


@pytest.mark.parametrize(
    ("wanted", "channels", "columns", "heard"),
    [
        ("scarlett", 18, slice(18), 18),
        ("scarlett:3", 3, [2], 1),
        ("scarlett:4+1", 4, [3, 0], 2),
        ("default", 2, slice(2), 2),
        ("default:5", 5, [4], 1),
        ("madi", 32, slice(32), 32),
        ("madi:40", 40, [39], 1),
    ],
)
def test_as_many_channels_are_opened_as_are_needed(
    wanted: str, channels: int, columns: list[int] | slice, heard: int
) -> None:
    chosen = find_input([*LINUX, offered("JACK", "madi", channels=64)], wanted)
    assert (chosen.channels, chosen.columns, chosen.heard) == (channels, columns, heard)


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        ("headset:2", "has 1 channel, counted from 1; there is no channel 2"),
        (
            "scarlett:19",
            "input PulseAudio/alsa_input.usb-Focusrite has 18 channels, counted from 1; there is no channel 19",
        ),
        ("scarlett:0+1", "there is no channel 0"),
        ("scarlett:1+1", "channels 1+1 are asked for; expected each once, and 32 at most"),
        ("theremin", "no input is called 'theremin'; there are PulseAudio/alsa_output"),
        ("theremin:2", "no input is called 'theremin:2'; there are "),
        ("99", "no input is called '99'; there are "),
        ("", "--input '' names no input; expected NAME, or NAME:1+2, of PulseAudio/alsa_output"),
        (" ", "--input '' names no input; expected NAME, or NAME:1+2, of "),
        (":", "--input ':' names no input; expected NAME, or NAME:1+2, of "),
        (":0", "--input ':0' names no input; expected NAME, or NAME:1+2, of "),
        (":1+2", "--input ':1+2' names no input; expected NAME, or NAME:1+2, of "),
        ("scarlett:", "channels '' of input 'scarlett' cannot be; expected their numbers, as in scarlett:1 or "),
        ("scarlett:1+", "channels '1+' of input 'scarlett' cannot be; expected their numbers, as in scarlett:1 or "),
        ("1:left", "channels 'left' of input '1' cannot be; expected their numbers, as in 1:1 or 1:1+2"),
        ("scarlett:1-2", "channels '1-2' of input 'scarlett' cannot be; "),
        ("scarlett:1,2", "channels '1,2' of input 'scarlett' cannot be; "),
        ("scarlett:" + 5000 * "1", "1' of input 'scarlett' cannot be; "),  # more digits than Python reads
        ("scarlett:999999999", "there is no channel 999999999"),
        (":left", "no input is called ':left'; there are "),
        ("theremin:1+", "no input is called 'theremin:1+'; there are "),
        ("a", "3 inputs are called 'a'; take one of "),
    ],
)
def test_what_cannot_be_heard_is_named_with_what_can(wanted: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs_module, "quoted", str)
    inputs = LINUX if wanted != "a" else listed([offered("JACK", name) for name in ("ab", "ac", "ad")])
    assert line in refusal(inputs, wanted)


def test_more_channels_than_go_through_are_refused() -> None:
    many = listed([offered("JACK", "madi", channels=64)])
    assert "32 at most" in refusal(many, "madi:" + "+".join(map(str, range(1, 34))))


@pytest.mark.parametrize("rate", [4_000, 384_000])
def test_an_input_at_a_rate_that_cannot_be_heard_is_named(rate: int) -> None:
    fast = replace(offered("JACK", "dac"), rate=rate)
    assert refusal([fast], "dac").startswith(f"input JACK/dac runs at {rate} Hz; expected 8000 to 192000 Hz")


def test_a_machine_without_inputs_says_what_to_do() -> None:
    line = (
        "there are no inputs; plug in a microphone or an interface, or leave --input out and take the page's microphone"
    )
    assert refusal([], "0") == line


@pytest.mark.skipif(os.name == "nt", reason="the shell of other systems")
def test_a_name_is_quoted_as_the_shell_takes_it() -> None:
    assert shlex.split(quoted(f"WASAPI/{USB} #2")) == [f"WASAPI/{USB} #2"]


def test_on_windows_a_name_is_quoted_as_its_shell_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs_module.os, "name", "nt")
    assert quoted("WASAPI/Line In") == '"WASAPI/Line In"'


def test_an_input_that_comes_back_elsewhere_is_the_same() -> None:
    line = TWINS[1]
    again = find_again(listed([offered("WASAPI", "Webcam"), offered("MME", "Line"), offered("WASAPI", "Line")]), line)
    assert (again.words, again.index) == (line.words, 1)


def test_another_input_at_the_old_index_is_not_what_was_lost() -> None:
    with pytest.raises(DeviceError, match="Line is not there"):
        find_again(listed([offered("WASAPI", "Webcam"), offered("WASAPI", "Camera"), offered("MME", "Line")]), TWINS[1])


def test_where_one_of_two_equal_inputs_is_gone_nobody_is_taken_for_it() -> None:
    one = listed([offered("WASAPI", "USB Audio"), offered("WASAPI", "Line")])
    with pytest.raises(DeviceError, match="is not there, or one of 2 with its name"):
        find_again(one, TWINS[2])
    assert find_again(TWINS, TWINS[2]) == TWINS[2]


NAMES = st.text(st.sampled_from("ab:1+ #/()"), min_size=1, max_size=8)


@given(
    st.lists(st.builds(offered, st.sampled_from(["ALSA", "MME", "odd/api"]), NAMES, st.integers(1, 40)), max_size=5),
    NAMES,
)
def test_any_wish_is_an_input_or_one_line(found: list[Input], wanted: str) -> None:
    inputs = listed(found)
    try:
        chosen = find_input(inputs, wanted)
    except DeviceError:
        refusal(inputs, wanted)
    else:
        assert chosen.source in inputs
        assert all(1 <= number <= chosen.source.channels for number in chosen.use)
        assert np.zeros((1, chosen.channels))[:, chosen.columns].shape == (1, chosen.heard)
