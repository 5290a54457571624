"""The page in real Chromium, against the real server and the real engine: what a performer does with it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Playwright, expect

from clavilux.runtime.loading import open_engine
from clavilux.runtime.playing.engine import Engine
from clavilux.server.settings import Settings
from tests.server.fakes import serving
from tests.server.page.browser import MICROPHONE, SOUNDS, WILLING, Tab, launch, metric, opened, until, with_pauses

SENT = "clavilux_frames_sent_total"


@pytest.fixture(scope="module")
def browser(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium whose microphone hears "A penguin." again and again."""
    spoken = with_pauses("penguin", tmp_path_factory.mktemp("spoken"))
    with launch(playwright, WILLING, MICROPHONE, spoken=spoken) as running:
        yield running


def test_the_page_opens_with_a_start_button_over_the_idle_picture(tab: Tab):
    page = tab.open()
    expect(page.locator("#start")).to_be_visible()
    expect(page.locator("#panel")).to_be_hidden()
    tab.wait_for_picture()


def test_the_start_button_works_from_the_keyboard(tab: Tab):
    page = tab.open()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    tab.wait_for_sound()


def test_sound_becomes_pictures_with_a_latency_and_a_rate(tab: Tab, url: str):
    page = tab.play()
    expect(page.locator("#latency")).to_contain_text("ms")
    expect(page.locator("#rate")).to_contain_text("per second")
    until(lambda: metric(url, "clavilux_heard_to_shown_seconds_count") > 0, "an acknowledged latency")


def test_two_spoken_words_make_two_pictures(tab: Tab, playwright: Playwright, engine: Engine, tmp_path: Path):
    engine.set({"noise": "fixed"})
    pictures = [_picture_of("penguin", tab)]
    tab.close()
    spoken = with_pauses("train", tmp_path)
    with launch(playwright, WILLING, MICROPHONE, spoken=spoken) as other, opened(other, tab.url) as second:
        pictures.append(_picture_of("train", second))
    assert np.abs(pictures[0] - pictures[1]).mean() > 16  # of 255


def _picture_of(word: str, tab: Tab) -> np.ndarray:
    """The canvas while the page names the word, when it is furthest from the picture of silence."""
    tab.open()
    tab.wait_for_picture()
    idle = tab.thumbnail()
    page = tab.play()
    named = page.locator("#heard strong")
    expect(named).to_have_text(word)
    shown = [tab.thumbnail()]
    while named.text_content() == word:
        shown.append(tab.thumbnail())
    return max(shown, key=lambda picture: np.abs(picture - idle).mean())


def test_the_level_meter_follows_the_microphone(tab: Tab):
    tab.play()
    tab.wait("Number(document.getElementById('meter').getAttribute('aria-valuenow')) > -30")


def test_the_microphone_is_taken_unprocessed(tab: Tab):
    page = tab.play()
    settings = page.evaluate("streams[0].getAudioTracks()[0].getSettings()")
    assert [settings[name] for name in ("echoCancellation", "noiseSuppression", "autoGainControl")] == [False] * 3
    expect(page.locator("#raw")).to_contain_text("unprocessed")


def test_another_input_can_be_chosen(tab: Tab):
    page = tab.play()
    names = page.locator("#input option").all_text_contents()
    page.select_option("#input", index=len(names) - 1)
    tab.wait("streams.length === 2 && streams[0].getAudioTracks()[0].readyState === 'ended'")
    tab.wait("streams[1].getAudioTracks()[0].label === document.getElementById('input').selectedOptions[0].text")


def test_a_file_is_played_without_asking_for_the_microphone(tab: Tab, engine: Engine):
    page = tab.open()
    page.set_input_files("#file", SOUNDS / "elephant.wav")
    tab.wait_for_sound()
    expect(page.locator("#file-name")).to_have_text("elephant.wav")
    assert page.evaluate("streams.length") == 0


def test_a_file_that_is_put_away_gives_the_microphone_back(tab: Tab):
    page = tab.play()
    page.set_input_files("#file", SOUNDS / "elephant.wav")
    page.click("#file-loop")
    expect(page.locator("#file-time")).to_contain_text("0:0")
    page.click("#file-close")
    expect(page.locator("#player")).to_be_hidden()
    tab.wait("Number(document.getElementById('meter').getAttribute('aria-valuenow')) > -30")


def test_a_file_without_sound_is_named(tab: Tab):
    page = tab.open()
    page.set_input_files("#file", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no sound at all"})
    tab.told("“notes.txt” cannot be played")


def test_space_freezes_the_picture_and_z_lets_it_go(tab: Tab, engine: Engine, url: str):
    engine.set({"noise": "fresh"})
    page = tab.play()
    page.keyboard.press("Space")
    expect(page.locator("#freeze")).to_have_attribute("aria-pressed", "true")
    until(lambda: engine.parameters.freeze, "the engine to freeze")
    held, sent = tab.thumbnail(), metric(url, SENT)
    until(lambda: metric(url, SENT) > sent + 5, "more frames")
    assert np.array_equal(tab.thumbnail(), held)
    page.keyboard.press("z")
    until(lambda: not np.array_equal(tab.thumbnail(), held), "another picture")


def test_b_blacks_out_every_viewer(tab: Tab, browser: Browser, engine: Engine):
    page = tab.play()
    with opened(browser, tab.url) as viewer:
        viewer.open("?view")
        page.keyboard.press("b")
        until(lambda: engine.parameters.blackout, "the engine to go dark")
        for each in (page, viewer.page):
            expect(each.locator("#picture")).to_have_css("opacity", "0")
        page.keyboard.press("b")
        expect(viewer.page.locator("#picture")).to_have_css("opacity", "1")


def test_f_fills_the_screen_and_h_hides_the_controls(tab: Tab):
    page = tab.play()
    page.keyboard.press("f")
    tab.wait("document.fullscreenElement")
    page.keyboard.press("h")
    expect(page.locator("#panel")).to_be_hidden()
    page.keyboard.press("h")
    expect(page.locator("#panel")).to_be_visible()


def test_every_parameter_of_the_bundle_has_a_control(tab: Tab, engine: Engine):
    page = tab.play()
    there = set(
        page.evaluate(
            "[...document.querySelectorAll('[id^=p-], [name^=p-]')].map((one) => (one.id || one.name).slice(2))"
            ".concat([...document.querySelectorAll('.route')].map((one) => one.title))"
        )
    )
    assert there == set(engine.ranges) - {"freeze", "blackout", "panic"}


def test_a_moved_slider_reaches_the_engine_and_the_other_page(tab: Tab, browser: Browser, engine: Engine):
    page = tab.play()
    with opened(browser, tab.url) as other:
        other.open("?sound=off")
        page.locator("#p-feedback").focus()
        page.keyboard.press("End")
        until(lambda: engine.parameters.feedback == 0.95, "the engine to take the feedback")
        expect(other.page.locator("#p-feedback")).to_have_value("400")


def test_a_slider_reaches_the_zero_below_its_range(tab: Tab, engine: Engine):
    page = tab.play()
    tab.unfold()
    page.locator("#p-frame_rate").focus()
    page.keyboard.press("Home")
    until(lambda: engine.parameters.frame_rate == 0.0, "the engine to pace itself")
    page.keyboard.press("ArrowRight")
    until(lambda: 1.0 < engine.parameters.frame_rate < 2.0, "the engine to take the lowest rate")


def test_a_viewer_sees_pictures_and_nothing_else(tab: Tab):
    page = tab.open("?view")
    tab.wait_for_picture()
    for part in ("#panel", "#hints", "#heard", "#welcome", "#glow"):
        expect(page.locator(part)).to_be_hidden()
    expect(page.locator("body")).to_have_css("cursor", "none")


def test_a_stage_with_its_own_sound_is_controlled_without_a_microphone(tab: Tab, engine: Engine):
    page = tab.open("?sound=off")
    page.click("text=fresh")
    until(lambda: engine.parameters.noise == "fresh", "the engine to take the noise")
    assert page.evaluate("streams.length") == 0


def test_a_stage_that_hears_a_sound_card_never_asks_for_the_microphone(browser: Browser):
    with serving(open_engine(threads=1), Settings(port=0, own_sound=True)) as here, opened(browser, here.url) as tab:
        page = tab.open()
        expect(page.locator("#start")).to_be_hidden()
        expect(page.locator("#source")).to_contain_text("hears its own sound card")
        assert page.evaluate("streams.length") == 0


def test_a_second_performer_is_told_and_keeps_the_controls(tab: Tab, browser: Browser, engine: Engine):
    tab.play()
    with opened(browser, tab.url) as second:
        second.open().click("#start")
        second.told("already plays this stage")
        second.page.keyboard.press("b")
        until(lambda: engine.parameters.blackout, "the engine to go dark")


def test_another_page_can_use_the_client_module(tab: Tab):
    heard = tab.open("?view").evaluate(
        """async () => {
          const { connect } = await import('/page/clavilux.js');
          const sound = { encoding: 'float32', rate: 16000, channels: 1 };
          const stage = await connect(undefined, { role: 'performer', sound });
          stage.onframe = () => {};
          const send = setInterval(() => stage.send(new Float32Array(1600).fill(0.01)), 100);
          const reached = await stage.mark();
          clearInterval(send);
          stage.close();
          return [reached.heardUntil >= 0, stage.state];
        }"""
    )
    assert heard == [True, "closed"]


def test_the_projector_window_opens_from_the_controls(tab: Tab):
    page = tab.play()
    with page.expect_popup() as opened_window:
        page.click("#projector")
    expect(opened_window.value.locator("body")).to_have_attribute("data-phase", "view")
