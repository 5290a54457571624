"""The page's sources of sound in real Chromium: channels and their choice, files of every kind, what is remembered."""

import json
import re
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Playwright, expect

from clavilux.server.settings import PAGE
from tests.server.page.browser import MICROPHONE, REMEMBER_CONTEXTS, SOUNDS, WILLING, Tab, launch

RATE = 48_000  # Hz
LOUD, SOFT = 0.1, 0.01  # amplitudes of sines: -23 and -43 dBFS
LEVEL = "Number(document.getElementById('meter').getAttribute('aria-valuenow'))"
CHANNEL_LEVELS = "[...document.querySelectorAll('.channel')].map((each) => Number(each.getAttribute('aria-valuenow')))"


def sines(path: Path, *amplitudes: float, seconds: float = 20.0) -> Path:
    """Write the same sine on each channel, float32, and return the file."""
    time = np.arange(int(seconds * RATE)) / RATE
    sound = np.sin(2 * np.pi * 440 * time)[:, None] * amplitudes
    soundfile.write(path, sound.astype(np.float32), RATE, subtype="FLOAT")
    return path


@pytest.fixture(scope="module")
def browser(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium whose microphone has two channels, of which the first alone sounds."""
    spoken = tmp_path_factory.mktemp("spoken") / "left.wav"
    sound, rate = soundfile.read(SOUNDS / "piano.wav", dtype="float32")
    soundfile.write(spoken, np.stack([sound, 0 * sound], axis=1), rate, subtype="PCM_16")
    with launch(playwright, WILLING, MICROPHONE, spoken=spoken) as running:
        yield running


def load(tab: Tab, file: Path) -> None:
    """Open the page and play `file`."""
    tab.open()
    tab.page.set_input_files("#file", file)
    expect(tab.page.locator("#file-name")).to_have_text(file.name)


def wait_for_level(tab: Tab, decibels: float) -> None:
    tab.wait(f"Math.abs({LEVEL} - {decibels}) <= 1")


@pytest.mark.parametrize(
    "channels", [3, 16, *(pytest.param(channels, marks=pytest.mark.slow) for channels in (5, 8, 32))]
)
def test_one_live_channel_of_a_file_of_many_keeps_its_level(tab: Tab, tmp_path: Path, channels: int):
    load(tab, sines(tmp_path / "many.wav", *[0.0] * (channels - 1), LOUD))
    expect(tab.page.locator("#mixed")).to_have_text(
        f"channel {channels} of {channels} alone: the mean would lose {20 * np.log10(channels):.0f} dB"
    )
    wait_for_level(tab, -23)
    tab.wait(f"String({CHANNEL_LEVELS}) === '{'-60,' * (channels - 1)}-23'")


def test_every_channel_of_a_file_of_many_counts(tab: Tab, tmp_path: Path):
    load(tab, sines(tmp_path / "three.wav", 0.0, LOUD, LOUD))
    wait_for_level(tab, -23 + 20 * np.log10(2 / 3))
    expect(tab.page.locator("#mixed")).to_be_empty()


def test_a_file_with_one_side_turned_over_is_heard(tab: Tab, tmp_path: Path):
    time = np.arange(20 * RATE) / RATE
    sound = LOUD * np.sin(2 * np.pi * 440 * time)
    soundfile.write(tmp_path / "turned.wav", np.stack([sound, -sound], axis=1), RATE, subtype="PCM_24")
    load(tab, tmp_path / "turned.wav")
    wait_for_level(tab, -23)
    expect(tab.page.locator("#mixed")).to_contain_text("nearly all of it")


def test_the_performer_chooses_channels(tab: Tab, tmp_path: Path):
    load(tab, sines(tmp_path / "four.wav", LOUD, SOFT, LOUD, LOUD))
    page = tab.page
    page.select_option("#use", label="channel 2")
    wait_for_level(tab, -43)
    expect(page.locator(".channel.unused")).to_have_count(3)
    page.select_option("#use", label="channels 3+4")
    wait_for_level(tab, -23)
    page.select_option("#use", label="all 4 channels")
    expect(page.locator(".channel.unused")).to_have_count(0)


def test_a_file_keeps_its_channel_when_the_sound_is_opened_again(tab: Tab, tmp_path: Path):
    tab.page.add_init_script(REMEMBER_CONTEXTS)
    load(tab, sines(tmp_path / "four.wav", LOUD, SOFT, LOUD, LOUD))
    tab.page.select_option("#use", label="channel 2")
    wait_for_level(tab, -43)
    _open_again(tab)
    tab.wait(f"{LEVEL} > -60")
    wait_for_level(tab, -43)
    expect(tab.page.locator("#use")).to_have_value("2")
    expect(tab.page.locator(".channel.unused")).to_have_count(3)


def test_a_file_on_pause_stays_there_with_its_channel_when_the_sound_is_opened_again(tab: Tab, tmp_path: Path):
    tab.page.add_init_script(REMEMBER_CONTEXTS)
    load(tab, sines(tmp_path / "four.wav", LOUD, SOFT, LOUD, LOUD))
    page = tab.page
    page.select_option("#use", label="channel 2")
    page.click("#file-play")
    expect(page.locator("#file-play")).to_have_text("play")
    held = page.locator("#seek").input_value()
    _open_again(tab)
    tab.wait("contexts[1].currentTime > 2")
    assert page.evaluate(LEVEL) == -60
    expect(page.locator("#file-play")).to_have_text("play")
    assert page.locator("#seek").input_value() == held
    page.click("#file-play")
    tab.wait(f"{LEVEL} > -60")
    wait_for_level(tab, -43)


def _open_again(tab: Tab) -> None:
    """Close the page's sound behind its back, and press what it offers then."""
    tab.page.evaluate("contexts[0].close()")
    tab.told("The browser has closed the sound.")
    tab.wait(f"{LEVEL} === -60")
    tab.page.click("text=Open it again")
    tab.wait("contexts.length === 2")
    expect(tab.page.locator(".notice")).to_have_count(0)


def test_one_channel_needs_no_choice_and_no_meter(tab: Tab):
    tab.open()
    tab.page.set_input_files("#file", SOUNDS / "elephant.wav")
    tab.wait_for_sound()
    expect(tab.page.locator("#channels")).to_be_hidden()


def test_clipping_is_shown_on_its_channel_and_said(tab: Tab, tmp_path: Path):
    load(tab, sines(tmp_path / "hot.wav", LOUD, 1.2, LOUD))
    expect(tab.page.locator("#mixed")).to_contain_text(
        "channel 2 clips in the file itself, which is cut off at full scale"
    )
    expect(tab.page.locator(".channel.hot")).to_have_attribute("aria-label", "channel 2")
    expect(tab.page.locator(".channel.hot")).to_have_attribute("aria-valuetext", re.compile("clips"))


@pytest.mark.slow
def test_one_channel_that_clips_has_a_meter(tab: Tab, tmp_path: Path):
    load(tab, sines(tmp_path / "hot.wav", 1.2))
    expect(tab.page.locator("#mixed")).to_have_text("it clips in the file itself, which is cut off at full scale")
    expect(tab.page.locator("#use")).to_be_hidden()
    expect(tab.page.locator(".channel")).to_have_count(1)


def test_the_next_source_begins_with_fresh_meters(tab: Tab, tmp_path: Path):
    load(tab, sines(tmp_path / "hot.wav", 1.2, LOUD))
    expect(tab.page.locator(".channel.hot")).to_have_count(1)
    tab.page.set_input_files("#file", sines(tmp_path / "calm.wav", LOUD, LOUD, LOUD))
    expect(tab.page.locator(".channel")).to_have_count(3)
    expect(tab.page.locator(".channel.hot")).to_have_count(0)


def test_the_next_source_is_not_too_loud_because_the_one_before_was(tab: Tab, tmp_path: Path):
    readouts = (PAGE / "readouts.js").read_text(encoding="utf-8")
    lasting = re.sub(r"CLIP_SHOWN_MS = \d+", "CLIP_SHOWN_MS = Infinity", readouts)  # only the next source ends it
    assert lasting != readouts
    tab.page.route("**/readouts.js", lambda route: route.fulfill(body=lasting, content_type="text/javascript"))
    load(tab, sines(tmp_path / "hot.wav", 1.2))
    expect(tab.page.locator("#level")).to_have_text("clips")
    tab.page.set_input_files("#file", sines(tmp_path / "calm.wav", LOUD))
    expect(tab.page.locator("#file-name")).to_have_text("calm.wav")
    wait_for_level(tab, -23)
    expect(tab.page.locator("#level")).to_contain_text("23 dB")
    expect(tab.page.locator("#meter")).not_to_have_class(re.compile("hot"))


def test_a_microphones_channel_is_remembered(tab: Tab):
    page = tab.play()
    expect(page.locator("#mixed")).to_have_text("channel 1 of 2 alone: the mean would lose 6 dB")
    page.select_option("#use", label="channel 2")
    expect(page.locator("#use")).to_have_value("2")
    page.reload()
    tab.wait("document.body.dataset.phase === 'playing'")
    page.keyboard.press("Escape")  # the gesture that Chromium wants before it lets sound run
    expect(page.locator("#use")).to_have_value("2")
    tab.wait(f"{LEVEL} === -60")
    page.set_input_files("#file", SOUNDS / "elephant.wav")
    tab.wait(f"{LEVEL} > -40")
    page.click("#file-close")
    expect(page.locator("#use")).to_have_value("2")


def test_a_remembered_channel_that_is_not_there_is_said(tab: Tab):
    _remember(tab, json.dumps({"input": "", "use": [5]}))
    page = tab.play()
    tab.told("channel 5 chosen, but this input has 2. Now all of them are heard.")
    expect(page.locator("#use")).to_have_value("")


GONE = "The chosen input is not there any more. Choose another one."


def test_a_remembered_input_that_is_gone_is_said_and_the_browsers_choice_heard(tab: Tab):
    _remember(tab, json.dumps({"input": "gone", "use": [1]}))
    page = tab.play()
    tab.told(GONE)
    assert page.evaluate("streams.map(({ active }) => active)") == [True]
    page.select_option("#input", index=1)
    tab.wait("streams.length === 2")
    expect(page.locator(".notice")).to_have_count(0)


@pytest.mark.slow
def test_a_chosen_input_that_is_gone_is_said_until_another_source_is_heard(tab: Tab, tmp_path: Path):
    page = tab.play()
    page.evaluate("document.getElementById('input').append(new Option('pulled', 'gone'))")
    page.select_option("#input", label="pulled")
    tab.told(GONE)
    tab.wait("streams.length === 2 && streams[1].active")
    page.set_input_files("#file", sines(tmp_path / "one.wav", LOUD))
    wait_for_level(tab, -23)
    expect(page.locator(".notice")).to_have_count(0)


@pytest.mark.parametrize("kept", ["rubbish", '{"input": {}}'])
def test_a_choice_that_cannot_be_read_does_no_harm(tab: Tab, kept: str):
    _remember(tab, kept)
    page = tab.play()
    tab.wait("streams.length >= 1 && streams.at(-1).active")
    expect(page.locator(".notice")).to_have_count(0)


def _remember(tab: Tab, text: str) -> None:
    tab.page.add_init_script(f"try {{ localStorage.setItem('clavilux.input', {json.dumps(text)}); }} catch {{}}")


def test_a_browser_that_forbids_to_remember_plays_all_the_same(tab: Tab):
    tab.page.add_init_script(
        "for (const name of ['localStorage', 'sessionStorage']) {"
        "  Object.defineProperty(window, name, { get() { throw new DOMException('no', 'SecurityError'); } });"
        "}"
    )
    page = tab.play()
    page.select_option("#use", label="channel 2")
    tab.unfold()
    page.fill("#offset", "40")
    page.keyboard.press("Enter")
    expect(page.locator("#offset")).to_have_value("40")
    page.select_option("#input", index=1)
    tab.wait("streams.length === 2")


@pytest.mark.slow
def test_a_browser_that_can_keep_no_more_plays_all_the_same(tab: Tab):
    page = tab.open()
    page.evaluate(
        "for (let size = 2 ** 23; size >= 1; size /= 2) {"
        "  try { localStorage.setItem('full' + size, 'x'.repeat(size)); } catch {}"
        "}"
    )
    page.click("#start")
    tab.wait_for_sound()
    page.select_option("#use", label="channel 2")
    tab.wait(f"{LEVEL} === -60")


def test_the_microphone_is_monitored_on_request_until_the_source_changes(tab: Tab):
    tab.page.add_init_script(
        "window.toSpeakers = 0;"
        "for (const [name, change] of [['connect', 1], ['disconnect', -1]]) {"
        "  const act = AudioNode.prototype[name];"
        "  AudioNode.prototype[name] = function (to, ...all) {"
        "    if (this instanceof MediaStreamAudioSourceNode) {"
        "      if (to instanceof AudioDestinationNode) toSpeakers += change;"
        "      else if (name === 'disconnect' && !to) toSpeakers = 0;"
        "    }"
        "    return act.call(this, to, ...all);"
        "  };"
        "}"
    )
    page = tab.play()
    monitor = page.locator("#monitor")
    assert page.evaluate("toSpeakers") == 0
    monitor.click()
    expect(monitor).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("toSpeakers") == 1
    monitor.click()
    assert page.evaluate("toSpeakers") == 0
    monitor.click()
    page.set_input_files("#file", SOUNDS / "elephant.wav")
    expect(monitor).to_be_hidden()
    assert page.evaluate("toSpeakers") == 0
    page.click("#file-close")
    expect(monitor).to_have_attribute("aria-pressed", "false")
    monitor.click()
    page.select_option("#input", index=1)
    tab.wait("streams.length === 2")
    expect(monitor).to_have_attribute("aria-pressed", "false")
    assert page.evaluate("toSpeakers") == 0


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.wav", b"", "“empty.wav” is empty: it has 0 bytes"),
        ("photo.png", b"\x89PNG\r\n\x1a\n" + bytes(64), "“photo.png” cannot be played"),
        ("cut.wav", b"RIFF\x24\x00\x00\x00WAVE", "Try WAV, FLAC, MP3, Ogg or M4A."),
    ],
)
def test_a_file_without_sound_gets_one_line(tab: Tab, name: str, content: bytes, said: str):
    tab.open()
    tab.page.set_input_files("#file", {"name": name, "mimeType": "audio/wav", "buffer": content})
    tab.told(said)


def test_a_wave_of_no_samples_gets_one_line(tab: Tab, tmp_path: Path):
    soundfile.write(tmp_path / "nothing.wav", np.zeros((0, 2)), RATE)
    tab.open()
    tab.page.set_input_files("#file", tmp_path / "nothing.wav")
    tab.told("“nothing.wav” cannot be played")


def _long(path: Path, seconds: int, rate: int, channels: int = 1) -> Path:
    """Write a wave of 8 bits and no sound, as holes: it takes no room on the disk."""
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 1, rate, seconds * rate, "NONE", ""))
        file.writeframesraw(b"")
        file._patchheader = lambda: None  # type: ignore[attr-defined]
    with path.open("r+b") as file:
        file.truncate(44 + seconds * rate * channels)
    return path


@pytest.mark.slow
def test_a_file_of_a_hundred_megabytes_is_played(tab: Tab, tmp_path: Path):
    file = _long(tmp_path / "set.wav", 40 * 60, 44_100)
    assert file.stat().st_size > 100e6
    load(tab, file)
    expect(tab.page.locator("#file-time")).to_contain_text("/ 40:00")


def test_a_file_that_would_take_too_much_memory_is_refused_before_it_is_decoded(tab: Tab, tmp_path: Path):
    tab.open()
    tab.page.set_input_files("#file", _long(tmp_path / "night.wav", 8 * 3600, 8000))
    tab.told("“night.wav” is too long: 8 hours. This page plays up to 1")
    expect(tab.page.locator("#player")).to_be_hidden()


def drop(tab: Tab, *files: Path) -> None:
    """Drop files on the page from outside, as a hand does."""
    session = tab.page.context.new_cdp_session(tab.page)
    data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})


def test_a_dropped_file_is_played(tab: Tab, tmp_path: Path):
    page = tab.open()
    drop(tab, sines(tmp_path / "one.wav", LOUD))
    expect(page.locator("#file-name")).to_have_text("one.wav")
    wait_for_level(tab, -23)
    expect(page.locator("#drop")).to_be_hidden()


def test_a_dropped_folder_is_told_and_what_plays_goes_on(tab: Tab, tmp_path: Path):
    load(tab, sines(tmp_path / "one.wav", LOUD))
    (tmp_path / "songs").mkdir()
    drop(tab, tmp_path / "songs")
    tab.told("“songs” is a folder. Drop a sound file from inside it.")
    wait_for_level(tab, -23)


@pytest.mark.slow
def test_of_several_dropped_files_the_first_is_played_and_the_others_are_told(tab: Tab, tmp_path: Path):
    page = tab.open()
    drop(tab, sines(tmp_path / "one.wav", LOUD), sines(tmp_path / "two.wav", LOUD))
    tab.told("“one.wav” is played, and nothing else of what was dropped.")
    expect(page.locator("#file-name")).to_have_text("one.wav")


def test_what_the_server_hears_is_the_mix(tab: Tab, tmp_path: Path):
    load(tab, sines(tmp_path / "many.wav", *[0.0] * 15, LOUD))
    tab.page.evaluate(
        "import('/page/clavilux.js').then(async ({ connect }) => {"
        "  const viewer = await connect(undefined, { role: 'viewer' });"
        "  viewer.onstatus = ({ level }) => (window.heard = level);"
        "})"
    )
    tab.wait("Math.abs(heard + 23) < 1")
