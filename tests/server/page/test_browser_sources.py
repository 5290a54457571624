"""One source after the other in real Chromium: the last choice wins, and what was said of a source ends with it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Page, Playwright, expect

from clavilux.runtime.loading import open_engine
from clavilux.server.settings import Settings
from tests.server.fakes import serving
from tests.server.page.browser import MICROPHONE, SOUNDS, WILLING, Tab, launch

RATE = 48_000  # Hz
LEVEL = "Number(document.getElementById('meter').getAttribute('aria-valuenow'))"
LOST_CONNECTION = "ERR_CONNECTION_REFUSED"  # what Chromium itself writes to the console
# While `held` is true, a decoded file and an opened microphone wait for `letGo()`; `waiting` counts them.
HOLD = """
window.waiting = 0;
const gate = new Promise((open) => { window.letGo = open; });
const hold = (owner, name) => {
  const act = owner[name];
  owner[name] = async function (...all) {
    const isHeld = window.held;
    const found = await act.apply(this, all);
    if (isHeld) {
      window.waiting += 1;
      await gate;
    }
    return found;
  };
};
hold(BaseAudioContext.prototype, 'decodeAudioData');
hold(MediaDevices.prototype, 'getUserMedia');
"""
SETTLE = (
    "(letGo(), new Promise((settled) => setTimeout(settled, 200)))"  # what was held has come, and done what it does
)


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    with launch(playwright, WILLING, MICROPHONE, spoken=SOUNDS / "piano.wav") as running:
        yield running


def one_of(channels: int, path: Path, seconds: float = 20.0) -> Path:
    """Write a sine at -23 dBFS on the last of so many channels, and return the file."""
    sound = np.zeros((int(seconds * RATE), channels), np.float32)
    sound[:, -1] = 0.1 * np.sin(2 * np.pi * 440 * np.arange(len(sound)) / RATE)
    soundfile.write(path, sound, RATE, subtype="PCM_16")
    return path


def play(tab: Tab, file: Path) -> None:
    tab.page.set_input_files("#file", file)
    expect(tab.page.locator("#file-name")).to_have_text(file.name)


def hold(tab: Tab) -> None:
    """Open a page in which what is asked for next waits until SETTLE."""
    tab.page.add_init_script(HOLD)
    tab.open()


@pytest.mark.slow
def test_what_is_said_of_a_mix_ends_with_the_file(tab: Tab, tmp_path: Path):
    tab.open()
    play(tab, one_of(16, tmp_path / "many.wav", seconds=3))
    expect(tab.page.locator("#mixed")).to_contain_text("channel 16 of 16 alone")
    expect(tab.page.locator("#file-play")).to_have_text("play")
    expect(tab.page.locator("#mixed")).to_be_empty()
    tab.page.click("#file-play")
    expect(tab.page.locator("#mixed")).to_contain_text("channel 16 of 16 alone")
    tab.page.click("#file-play")
    expect(tab.page.locator("#mixed")).to_be_empty()


def test_what_is_said_of_the_microphone_is_not_said_of_a_file(tab: Tab):
    page = tab.play()
    expect(page.locator("#raw")).to_contain_text("unprocessed")
    microphone = page.locator("#input option:checked").text_content()
    play(tab, SOUNDS / "elephant.wav")
    expect(page.locator("#raw")).to_be_empty()
    expect(page.locator("#input option:checked")).to_have_text("a file")
    page.click("#file-close")
    expect(page.locator("#raw")).to_contain_text("unprocessed")
    expect(page.locator("#input option:checked")).to_have_text(microphone or "")


def test_a_microphone_that_goes_while_a_file_plays_is_told_when_it_would_be_heard(tab: Tab):
    page = tab.play()
    play(tab, SOUNDS / "elephant.wav")
    page.evaluate("streams[0].getAudioTracks()[0].dispatchEvent(new Event('ended'))")
    expect(page.locator(".notice")).to_have_count(0)
    page.click("#file-close")
    tab.told("is gone. It goes on as soon as it is back.")
    expect(page.locator("#raw")).to_be_empty()
    play(tab, SOUNDS / "penguin.wav")
    expect(page.locator(".notice")).to_have_count(0)


def test_a_file_that_could_not_be_played_is_told_until_something_else_is_heard(tab: Tab):
    page = tab.open()
    page.set_input_files("#file", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no sound at all"})
    tab.told("finds no sound in it, or more than 32 channels.")
    page.select_option("#input", index=1)
    tab.wait("streams.length === 1")
    expect(page.locator(".notice")).to_have_count(0)


def test_a_file_of_more_channels_than_a_browser_takes_is_told_so(tab: Tab, tmp_path: Path):
    tab.open()
    tab.page.set_input_files("#file", one_of(33, tmp_path / "wide.wav", seconds=0.1))
    tab.told("“wide.wav” has 33 channels. A browser takes 32 at most")


def loading(tab: Tab, folder: Path) -> Page:
    """Play a file while a second one is being decoded, which is held up."""
    hold(tab)
    play(tab, one_of(1, folder / "first.wav"))
    tab.page.evaluate("void (window.held = true)")
    tab.page.set_input_files("#file", one_of(1, folder / "second.wav"))
    tab.wait("waiting === 1")
    return tab.page


def test_an_eject_ends_what_is_being_loaded_too(tab: Tab, tmp_path: Path):
    page = loading(tab, tmp_path)
    page.click("#file-close")
    expect(page.locator("#player")).to_be_hidden()
    page.evaluate(SETTLE)
    expect(page.locator("#player")).to_be_hidden()
    tab.wait(f"{LEVEL} === -60")
    play(tab, one_of(1, tmp_path / "third.wav"))
    tab.wait(f"Math.abs({LEVEL} + 23) <= 1")


def test_an_input_that_is_chosen_ends_what_is_being_loaded(tab: Tab, tmp_path: Path):
    page = loading(tab, tmp_path)
    page.evaluate("void (window.held = false)")
    page.select_option("#input", index=1)
    tab.wait("streams.length === 1")
    page.evaluate(SETTLE)
    expect(page.locator("#player")).to_be_hidden()
    assert page.evaluate("streams[0].active")


def test_a_microphone_that_comes_after_a_file_was_chosen_is_let_go(tab: Tab, tmp_path: Path):
    hold(tab)
    page = tab.page
    page.evaluate("void (window.held = true)")
    page.click("#start")
    tab.wait("waiting === 1")
    page.evaluate("void (window.held = false)")
    play(tab, one_of(1, tmp_path / "first.wav"))
    page.evaluate(SETTLE)
    assert page.evaluate("streams.map(({ active }) => active)") == [False]
    expect(page.locator("#file-name")).to_have_text("first.wav")
    expect(page.locator("#input option:checked")).to_have_text("a file")
    tab.wait(f"Math.abs({LEVEL} + 23) <= 1")


def test_of_two_files_the_last_is_played_however_early_the_first_was_asked_for(tab: Tab, tmp_path: Path):
    tab.page.add_init_script(
        "const add = Worklet.prototype.addModule;"
        "Worklet.prototype.addModule = async function (...all) {"
        "  await new Promise((open) => setTimeout(open, 500));"
        "  return add.apply(this, all);"
        "};"
    )
    tab.open()
    for name in ("first.wav", "second.wav"):
        tab.page.set_input_files("#file", one_of(1, tmp_path / name))
    expect(tab.page.locator("#file-name")).to_have_text("second.wav")
    tab.wait(f"Math.abs({LEVEL} + 23) <= 1")
    expect(tab.page.locator("#file-name")).to_have_text("second.wav")


@pytest.mark.slow
def test_when_the_server_goes_what_is_said_to_go_on_does(browser: Browser, tmp_path: Path):
    with serving(open_engine(threads=1), Settings(port=0)) as here:
        tab = Tab(browser, here.url)
        tab.open()
        play(tab, one_of(16, tmp_path / "many.wav", seconds=60))
        expect(tab.page.locator("#mixed")).to_contain_text("channel 16 of 16 alone")
    tab.told("The server is gone. Trying again; the file plays on.")
    expect(tab.page.locator("#mixed")).to_be_empty()
    expect(tab.page.locator("#source-line")).to_be_empty()
    tab.page.click("#file-play")
    tab.told("Trying again.")
    tab.close()
    assert [text for text in tab.complaints if LOST_CONNECTION not in text] == []
