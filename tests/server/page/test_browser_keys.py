"""The page's keys in real Chromium: they play wherever the focus is, in the projector's window too."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect

from clavilux.runtime.playing.engine import Engine
from tests.server.fakes import FakeEngine, serving
from tests.server.page.browser import MICROPHONE, SOUNDS, WILLING, Tab, launch, metric, opened, until

# A stage that lets this page watch and nothing else.
AS_NOBODY = """
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (data) {
  send.call(this, typeof data === 'string' ? data.replace('"role":"performer"', '"role":"nobody"') : data);
};
"""
# A network that is 150 ms away.
FAR = """
const { set } = Object.getOwnPropertyDescriptor(WebSocket.prototype, 'onmessage');
Object.defineProperty(WebSocket.prototype, 'onmessage', {
  set(handle) { set.call(this, (event) => setTimeout(() => handle(event), 150)); },
});
"""
# Every change of the blackout that could be seen.
WATCH_BLACKOUT = """
window.changes = [];
new MutationObserver(() => {
  const dark = getComputedStyle(document.getElementById('picture')).opacity === '0';
  if (dark !== (changes.at(-1) ?? false)) changes.push(dark);
}).observe(document.getElementById('stage'), { attributeFilter: ['style'] });
"""
FOCUS = "document.activeElement.id"


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    with launch(playwright, WILLING, MICROPHONE, spoken=SOUNDS / "piano.wav") as chromium:
        yield chromium


def _pressed(page: Page, key: str, engine: Engine, name: str) -> None:
    """Press `key`, see that it turned `name`, and press it again."""
    for expected in (True, False):
        page.keyboard.press(key)
        until(lambda on=expected: getattr(engine.parameters, name) is on, f"{key} to turn {name}")


def test_keys_play_after_an_input_was_chosen_from_the_keyboard(tab: Tab, engine: Engine):
    page = tab.play()
    page.locator("#input").focus()
    page.keyboard.press("ArrowDown")
    tab.wait("streams.length === 2")
    chosen = page.input_value("#input")
    page.keyboard.press("f")
    tab.wait("document.fullscreenElement")
    page.keyboard.press("f")
    tab.wait("!document.fullscreenElement")
    _pressed(page, " ", engine, "freeze")
    assert page.input_value("#input") == chosen
    page.keyboard.press("Enter")
    assert page.evaluate(FOCUS) == "stage"
    page.select_option("#input", index=0)
    _pressed(page, "p", engine, "panic")


def test_keys_are_where_they_are_on_a_keyboard_of_other_letters(tab: Tab, engine: Engine):
    page = tab.play()
    press = "([key, code]) => document.body.dispatchEvent(new KeyboardEvent('keydown', { key, code, bubbles: true }))"
    page.evaluate(press, ["\u0438", "KeyB"])
    until(lambda: engine.parameters.blackout, "a blackout by the key of B")
    page.evaluate(press, ["b", "KeyN"])  # a layout that has B elsewhere
    until(lambda: not engine.parameters.blackout, "the end of it by the letter")


def test_a_blackout_is_not_lifted_by_an_answer_that_is_late(tab: Tab, engine: Engine):
    tab.page.add_init_script(FAR)
    page = tab.play()
    page.evaluate(WATCH_BLACKOUT)
    for key in ("z", "b"):  # the answer to the first still says that there is no blackout
        page.keyboard.press(key)
    until(lambda: engine.parameters.blackout, "the engine to go dark")
    page.keyboard.press("z")
    tab.wait("document.getElementById('freeze').getAttribute('aria-pressed') === 'false'")
    page.wait_for_timeout(400)  # until every answer has come
    assert page.evaluate("changes") == [True]


def test_keys_play_while_and_after_a_seed_is_typed(tab: Tab, engine: Engine):
    page = tab.play()
    page.fill("#p-seed", "12")
    _pressed(page, "b", engine, "blackout")
    page.keyboard.press("Enter")
    until(lambda: engine.parameters.seed == 12, "the seed")
    assert page.evaluate(FOCUS) == "stage"
    _pressed(page, " ", engine, "freeze")


def test_a_seed_that_cannot_be_says_why_and_escape_brings_the_last_one_back(tab: Tab, engine: Engine):
    page = tab.play()
    page.fill("#p-seed", "-5")
    page.keyboard.press("Enter")
    expect(page.locator("#problem-seed")).to_have_text("\N{MINUS SIGN}5 is too low; it goes from 0 to 4,294,967,295.")
    expect(page.locator("#p-seed")).to_have_attribute("aria-invalid", "true")
    page.locator("#p-seed").focus()
    page.keyboard.press("Escape")
    expect(page.locator("#problem-seed")).to_have_text("")
    assert [page.input_value("#p-seed"), page.evaluate(FOCUS), engine.parameters.seed] == ["7", "stage", 7]


def test_escape_always_leads_back_to_the_stage_and_shows_the_controls(tab: Tab):
    page = tab.play()
    page.keyboard.press("h")
    expect(page.locator("#panel")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(page.locator("#panel")).to_be_visible()
    for control in ("#input", "#p-react", "#p-glide", "#freeze", "[name=p-noise] >> nth=0"):
        page.locator(control).focus()
        page.keyboard.press("Escape")
        assert page.evaluate(FOCUS) == "stage", control


def test_panic_goes_black_for_everyone_and_hides_what_is_heard(tab: Tab, browser: Browser, engine: Engine):
    page = tab.play()
    expect(page.locator("#heard strong")).not_to_be_empty()
    with opened(browser, tab.url) as viewer:
        viewer.open("?view")
        page.keyboard.press("p")
        until(lambda: engine.parameters.panic, "the engine to panic")
        expect(page.locator("#heard")).to_be_hidden()
        expect(page.locator("#panic")).to_have_attribute("aria-pressed", "true")
        for each in (page, viewer.page):
            expect(each.locator("#picture")).to_have_css("opacity", "0")
        page.click("#panic")
        expect(viewer.page.locator("#picture")).to_have_css("opacity", "1")
    page.keyboard.press("b")
    expect(page.locator("#heard")).to_be_hidden()


def test_what_panic_has_set_to_0_is_told_and_comes_back(tab: Tab, engine: Engine):
    page = tab.play()
    engine.set({"react": 1.4, "feedback": 0.3})
    expect(page.locator("output[for=p-react]")).to_have_text("1.4")
    page.keyboard.press("p")
    until(lambda: engine.parameters.panic, "the engine to panic")
    expect(page.locator("output[for=p-react]")).to_have_text("0")
    page.keyboard.press("p")
    tab.told("Panic has set react and feedback to 0.")
    assert engine.parameters.react == 0
    page.click("text=Bring back")
    until(lambda: (engine.parameters.react, engine.parameters.feedback) == (1.4, 0.3), "both to come back")
    expect(page.locator(".notice")).to_have_count(0)


def test_the_projectors_window_plays_for_the_whole_stage(tab: Tab, browser: Browser, engine: Engine):
    page = tab.play()
    with opened(browser, tab.url) as projector:
        window = projector.open("?view")
        projector.wait_for_picture()
        for key, name in ((" ", "freeze"), ("b", "blackout"), ("p", "panic")):
            _pressed(window, key, engine, name)
        window.keyboard.press("b")
        expect(page.locator("#blackout")).to_have_attribute("aria-pressed", "true")
        window.keyboard.press("f")
        projector.wait("document.fullscreenElement")
    until(lambda: engine.parameters.blackout, "the stage to stay as the projector left it")


def test_a_projectors_window_that_may_not_play_plays_for_itself(tab: Tab, browser: Browser, engine: Engine):
    window = tab.page
    window.add_init_script(AS_NOBODY)
    tab.open("?view")
    tab.wait_for_picture()
    window.keyboard.press("b")
    expect(window.locator("#picture")).to_have_css("opacity", "0")
    until(lambda: metric(tab.url, 'clavilux_viewers{role="viewer"}') == 1, "the window to watch on")
    shown = window.evaluate("document.getElementById('picture').dataset.sequence")
    tab.wait(f"document.getElementById('picture').dataset.sequence !== '{shown}'")
    expect(window.locator(".notice")).to_have_count(0)
    assert not engine.parameters.blackout
    window.keyboard.press("b")
    expect(window.locator("#picture")).to_have_css("opacity", "1")
    engine.set({"blackout": True})  # the stage's own still acts here
    expect(window.locator("#picture")).to_have_css("opacity", "0")


def test_a_projectors_window_whose_key_meets_a_failed_engine_comes_back(browser: Browser):
    engine = FakeEngine()
    engine.ready.set()
    with serving(engine) as here, opened(browser, here.url) as projector:
        window = projector.open("?view")
        until(lambda: metric(here.url, 'clavilux_viewers{role="viewer"}') == 1, "the window to watch")
        engine.failure = RuntimeError("gone")
        until(lambda: metric(here.url, 'clavilux_viewers{role="viewer"}') == 0, "the window to be sent away")
        window.keyboard.press("b")
        expect(window.locator("[data-topic=refusal]")).to_contain_text("engine has failed")
        expect(window.locator("#blackout")).to_have_attribute("aria-pressed", "true")
        engine.failure = None
        until(lambda: metric(here.url, 'clavilux_viewers{role="viewer"}') == 1, "the window to watch again")
        expect(window.locator("#blackout")).to_have_attribute("aria-pressed", "true")
        window.keyboard.press("b")
        until(lambda: metric(here.url, 'clavilux_viewers{role="performer"}') == 1, "the window to play")


def test_the_master_acts_on_a_page_that_shows_pictures_only(tab: Tab, engine: Engine):
    page = tab.open("?view")
    tab.wait_for_picture()
    engine.set({"master": 0.5})
    expect(page.locator("#picture")).to_have_css("opacity", re.compile(r"^0\.749"))  # 0.5 of the light, encoded
    engine.set({"master": 0.0})
    expect(page.locator("#picture")).to_have_css("opacity", re.compile(r"^(0|0\.0\d*|\d.*e-\d+)$"))
    engine.set({"master": 1.0, "fade": 1.0, "blackout": True})
    expect(page.locator("#picture")).to_have_css("opacity", re.compile(r"^0\.[2-8]"))
    expect(page.locator("#picture")).to_have_css("opacity", "0")
