"""The page in real Chromium when something is wrong: it says so plainly, and goes on as soon as it can."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest
from playwright.sync_api import Browser, Playwright, expect

from clavilux.runtime.loading import open_engine
from clavilux.runtime.playing.engine import Engine
from clavilux.server.settings import PAGE, Right, Settings, Token
from tests.server.fakes import HangingEngine, serving
from tests.server.page.browser import (
    MICROPHONE,
    OTHER_NAME,
    PATIENCE,
    REMEMBER_CONTEXTS,
    SOUNDS,
    THUMBNAIL,
    WILLING,
    Tab,
    launch,
    opened,
    until,
)

TOKEN = "open sesame"
LOST_CONNECTION = "ERR_CONNECTION_REFUSED"  # what Chromium itself writes to the console


@pytest.fixture(scope="module")
def url(engine: Engine) -> Iterator[str]:
    """A stage that has another name as well."""
    with serving(engine, Settings(port=0, names=("127.0.0.1", OTHER_NAME))) as here:
        assert engine.ready.wait(30)
        yield here.url


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    with launch(playwright, WILLING, MICROPHONE, spoken=SOUNDS / "piano.wav") as running:
        yield running


def test_a_refused_microphone_is_explained_and_a_file_still_plays(playwright: Playwright, url: str):
    with launch(playwright, MICROPHONE) as unwilling, opened(unwilling, url) as tab:
        page = tab.open()
        page.click("#start")
        tab.told("The browser refused the microphone")
        page.set_input_files("#file", SOUNDS / "penguin.wav")
        tab.wait_for_sound()
        expect(page.locator(".notice")).to_have_count(0)


@pytest.mark.parametrize("name", ["NotFoundError", "OverconstrainedError"])  # the second is WebKit's word for it
def test_a_machine_without_a_microphone_is_told_so(tab: Tab, name: str):
    _make_get_user_media_fail(tab, name)
    tab.open().click("#start")
    tab.told("No microphone was found")


def test_a_microphone_that_does_not_answer_can_be_tried_again(tab: Tab):
    _make_get_user_media_fail(tab, "NotReadableError")
    page = tab.open()
    page.click("#start")
    tab.told("another program may hold it")
    page.evaluate("void (MediaDevices.prototype.getUserMedia = willing)")
    page.click("text=Try again")
    tab.wait_for_sound()
    expect(page.locator(".notice")).to_have_count(0)


def test_an_engine_that_begins_again_is_told_and_the_last_picture_stays(browser: Browser):
    engine = HangingEngine()
    with serving(engine, Settings(port=0)) as here, opened(browser, here.url) as tab:
        tab.open("?view")
        tab.wait_for_picture()
        engine.hang()
        engine.restarting = True
        tab.told("The engine has stopped and begins again")
        assert max(tab.page.evaluate(THUMBNAIL)[:3]) > 60  # white before, whatever the light does to it
        engine.restarting = False
        expect(tab.page.locator("[data-topic=engine]")).to_have_count(0)


def _make_get_user_media_fail(tab: Tab, name: str) -> None:
    tab.page.add_init_script(
        "window.willing = MediaDevices.prototype.getUserMedia;"
        f"MediaDevices.prototype.getUserMedia = async () => {{ throw new DOMException('', '{name}'); }};"
    )


def test_a_browser_that_processes_the_sound_is_told_on(tab: Tab):
    tab.page.add_init_script(
        "const settings = MediaStreamTrack.prototype.getSettings;"
        "MediaStreamTrack.prototype.getSettings = function () {"
        "  return { ...settings.call(this), echoCancellation: true };"
        "};"
    )
    tab.open().click("#start")
    tab.told("keeps echo cancellation on")


def test_a_page_from_elsewhere_over_plain_http_says_why_there_is_no_microphone(browser: Browser, tab: Tab):
    with opened(browser, tab.url.replace("127.0.0.1", OTHER_NAME)) as far:
        page = far.open()
        page.click("#start")
        far.told("Browsers give the microphone only to safe pages")
        expect(page.locator("#connection")).to_have_attribute("data-state", "live")
        expect(page.locator("#panel")).to_be_visible()


def test_a_pulled_cable_is_noticed_and_the_microphone_taken_again_when_it_is_back(tab: Tab):
    page = tab.open()
    page.click("#start")
    tab.wait_for_sound()
    page.evaluate("streams[0].getAudioTracks()[0].dispatchEvent(new Event('ended'))")
    tab.told("is gone")
    page.evaluate("navigator.mediaDevices.dispatchEvent(new Event('devicechange'))")
    tab.wait("streams.length === 2")
    expect(page.locator(".notice")).to_have_count(0)


def test_a_restarted_server_finds_the_same_microphone_and_the_same_parameters(browser: Browser):
    first = open_engine(threads=1)
    with serving(first, Settings(port=0)) as here:
        tab = Tab(browser, here.url)
        page = tab.open()
        page.click("#start")
        tab.wait_for_sound()
        page.fill("#p-seed", "77")
        page.keyboard.press("Enter")
        until(lambda: first.parameters.seed == 77, "the seed")
    tab.told("the microphone stays open")
    expect(page.locator("#heard")).to_be_hidden()
    second = open_engine(threads=1)
    with serving(second, Settings(port=here.port)):
        until(lambda: second.parameters.seed == 77, "the seed to come back")
        until(lambda: second.counters().heard_seconds > 0.5, "sound to come back")
        expect(page.locator(".notice")).to_have_count(0)
        assert page.evaluate("streams.map((stream) => stream.getAudioTracks()[0].readyState)") == ["live"]
        tab.close()
    assert [text for text in tab.complaints if LOST_CONNECTION not in text] == []


@pytest.fixture
def frozen(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Event, Event]]:
    """The stage's server stands still from the first of two events until the second, without closing anything."""
    stop, go = Event(), Event()
    monkeypatch.setattr(engine, "look_ahead", lambda _: stop.is_set() and go.wait(PATIENCE))  # on the server's loop
    yield stop, go
    go.set()


def test_a_server_that_stands_still_is_told_until_it_answers(tab: Tab, frozen: tuple[Event, Event]):
    page = tab.play()
    connection = page.locator("#connection")
    frozen[0].set()
    tab.told("No answer from the server for 3 s; the microphone stays open.")
    expect(connection).to_have_text("no answer")
    expect(page.locator("#heard")).to_be_hidden()
    expect(page.locator("#source-line")).to_be_empty()
    frozen[1].set()
    expect(page.locator(".notice")).to_have_count(0)
    expect(connection).to_have_attribute("data-state", "live")
    assert page.evaluate("streams.map(({ active }) => active)") == [True]


def test_a_server_that_stands_still_for_long_is_tried_again(tab: Tab, frozen: tuple[Event, Event]):
    client = (PAGE / "clavilux.js").read_text(encoding="utf-8")
    hasty = client.replace("SILENT_LINK_MS = 8000", "SILENT_LINK_MS = 4000")
    assert hasty != client
    tab.page.route("**/clavilux.js", lambda route: route.fulfill(body=hasty, content_type="text/javascript"))
    page = tab.play()
    frozen[0].set()
    tab.told("The server does not answer. Trying again; the microphone stays open.")
    expect(page.locator("#connection")).to_have_text("server gone, trying again")
    frozen[1].set()
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    expect(page.locator(".notice")).to_have_count(0)


def test_who_came_second_sounds_when_the_first_has_left(tab: Tab, browser: Browser):
    first = Tab(browser, tab.url)
    first.play()
    page = tab.open()
    page.click("#start")
    tab.told("already plays this stage")
    first.close()
    expect(page.locator(".notice")).to_have_count(0)
    tab.wait_for_sound()


def test_a_page_that_is_loaded_again_plays_on(tab: Tab):
    page = tab.play()
    page.reload()
    tab.wait("document.body.dataset.phase === 'playing'")
    page.keyboard.press("Escape")  # the gesture that Chromium wants before it lets sound run
    tab.wait_for_sound()


def test_the_page_does_not_claim_to_listen_before_it_may(tab: Tab):
    tab.page.add_init_script(
        "Permissions.prototype.query = async () => ({ state: 'prompt' });"
        "MediaDevices.prototype.getUserMedia = () => new Promise(() => {});"
    )
    page = tab.open()
    page.click("#start")
    expect(page.locator("#tagline")).to_have_text("The browser asks whether this page may hear.")
    expect(page.locator("#start")).to_have_text("Allow…")


@contextmanager
def ending(browser: Browser, folder: Path, deed: str) -> Iterator[tuple[Tab, Path]]:
    """Open a page whose worklet does `deed` after two seconds of sound; yield it, and the worklet's file."""
    shutil.copytree(PAGE, folder / "page")
    worklet = folder / "page" / "capture.js"
    code = worklet.read_text(encoding="utf-8")
    worklet.write_text(code.replace("return true;", f"if (currentTime > 2) {deed}; return true;"), encoding="utf-8")
    engine = open_engine(threads=1)
    engine.set({"frame_rate": 8.0})
    with serving(engine, Settings(port=0, page=folder / "page")) as here, opened(browser, here.url) as tab:
        assert engine.ready.wait(30)
        yield tab, worklet


def test_sound_that_stops_coming_can_be_opened_again(browser: Browser, tmp_path: Path):
    with ending(browser, tmp_path, "this.port.postMessage = () => {}") as (tab, worklet):
        page = tab.open()
        page.click("#start")
        tab.told("No sound comes from the browser any more")
        shutil.copy(PAGE / "capture.js", worklet)
        page.click("text=Open it again")
        tab.wait("streams.length === 2")
        tab.wait_for_sound()
        tab.wait("Number(document.getElementById('meter').getAttribute('aria-valuenow')) > -60")
        expect(page.locator(".notice")).to_have_count(0)


@pytest.mark.slow
def test_a_worklet_that_fails_is_told(browser: Browser, tmp_path: Path):
    with ending(browser, tmp_path, "this.is.no.more()") as (tab, _):
        tab.open().click("#start")
        tab.told("No sound comes from the browser any more")


def test_sound_that_the_browser_pauses_goes_on_when_it_is_told_to(tab: Tab):
    tab.page.add_init_script(REMEMBER_CONTEXTS)
    page = tab.play()
    page.evaluate("contexts[0].suspend()")
    tab.told("The browser has paused the sound.")
    page.click("text=Go on")
    expect(page.locator(".notice")).to_have_count(0)
    tab.wait("contexts[0].state === 'running'")


def test_sound_that_a_call_has_taken_goes_on_by_itself(tab: Tab):
    """Only telephones do this: the context is suspended for real, and says that it is interrupted."""
    tab.page.add_init_script(
        REMEMBER_CONTEXTS + "const state = Object.getOwnPropertyDescriptor(BaseAudioContext.prototype, 'state').get;"
        "Object.defineProperty(BaseAudioContext.prototype, 'state', { get() {"
        "  const found = state.call(this);"
        "  return found === 'suspended' && window.called ? 'interrupted' : found;"
        "} });"
        "const resume = Context.prototype.resume;"
        "Context.prototype.resume = function () { return window.onCall ? Promise.reject() : resume.call(this); };"
    )
    page = tab.play()
    page.evaluate("void (window.called = window.onCall = true, contexts[0].suspend())")
    tab.told("Something else has taken the sound, a call perhaps.")
    page.evaluate("void (window.onCall = false)")
    expect(page.locator(".notice")).to_have_count(0)
    tab.wait("contexts[0].state === 'running'")


def test_a_track_that_ends_untold_is_noticed(tab: Tab):
    page = tab.play()
    page.evaluate("streams[0].getAudioTracks()[0].stop()")
    tab.told("is gone. It goes on as soon as it is back.")
    page.click("text=Use another")
    tab.wait("streams.length === 2")
    expect(page.locator(".notice")).to_have_count(0)


def test_a_muted_microphone_is_told_until_it_sounds(tab: Tab):
    tab.page.add_init_script(
        "Object.defineProperty(MediaStreamTrack.prototype, 'muted', { get: () => Boolean(window.isMuted) });"
        "window.isMuted = true;"
    )
    page = tab.play()
    tab.told("is muted by the system: nothing comes from it. Let it sound again there.")
    page.evaluate("void (window.isMuted = false, streams[0].getAudioTracks()[0].dispatchEvent(new Event('unmute')))")
    expect(page.locator(".notice")).to_have_count(0)


@pytest.mark.slow
def test_a_microphone_that_gives_not_even_noise_is_told_until_it_sounds(tab: Tab):
    page = tab.play()
    page.evaluate("void (streams[0].getAudioTracks()[0].enabled = false)")  # zeros, as from a switch on the microphone
    tab.told("not even noise. Is it muted, or is nothing plugged in?")
    page.evaluate("void (streams[0].getAudioTracks()[0].enabled = true)")
    expect(page.locator(".notice")).to_have_count(0)


def test_a_microphone_that_cannot_be_used_is_let_go_and_a_full_screen_that_is_refused_is_said(tab: Tab):
    tab.page.add_init_script(
        "AudioContext.prototype.createMediaStreamSource = () => {"
        "  throw new DOMException('odd rate', 'NotSupportedError');"
        "};"
        "Element.prototype.requestFullscreen = async () => { throw new TypeError('denied'); };"
    )
    page = tab.open()
    page.click("#start")
    tab.told("The microphone cannot be opened: odd rate")
    assert page.evaluate("streams.map((stream) => stream.getAudioTracks()[0].readyState)") == ["ended"]
    page.keyboard.press("f")
    tab.told("does not fill the screen")


def test_what_a_browser_has_not_is_not_offered_and_an_unknown_delay_is_said(tab: Tab):
    tab.page.add_init_script(
        "Object.defineProperty(Document.prototype, 'fullscreenEnabled', { value: false });"
        "const settings = MediaStreamTrack.prototype.getSettings;"
        "MediaStreamTrack.prototype.getSettings = function () {"
        "  return { ...settings.call(this), latency: undefined };"
        "};"
    )
    page = tab.play()
    expect(page.locator("#fullscreen")).to_be_hidden()
    page.keyboard.press("f")
    expect(page.locator("#latency")).to_contain_text("own delay is not in it")


@pytest.fixture(scope="module")
def guarded() -> Iterator[tuple[Engine, str]]:
    """A stage that asks for a token."""
    engine = open_engine(threads=1)
    with serving(engine, Settings(port=0, token=TOKEN)) as here:
        yield engine, here.url


def test_a_token_is_asked_for_until_it_is_right(browser: Browser, guarded: tuple[Engine, str]):
    with opened(browser, guarded[1]) as tab:
        page = tab.open()
        page.fill("#token-text", "wrong")
        page.click("#token button")
        tab.told("does not accept this token")
        page.fill("#token-text", TOKEN)
        page.click("#token button")
        expect(page.locator("#connection")).to_have_attribute("data-state", "live")
        expect(page.locator(".notice")).to_have_count(0)


def test_a_token_in_the_fragment_opens_the_stage_and_leaves_the_address(browser: Browser, guarded: tuple[Engine, str]):
    with opened(browser, guarded[1]) as tab:
        page = tab.open(f"?view#token={TOKEN.replace(' ', '%20')}")
        tab.wait_for_picture()
        assert "token" not in page.url
        expect(page.locator("#token")).to_be_hidden()


@pytest.fixture(scope="module")
def doors() -> Iterator[tuple[Engine, str]]:
    """A stage with a token that only watches."""
    engine = open_engine(threads=1)
    with serving(engine, Settings(port=0, tokens=(Token(TOKEN, Right.WATCH),))) as here:
        yield engine, here.url


def test_a_page_whose_token_only_watches_says_so_and_watches(browser: Browser, doors: tuple[Engine, str]):
    with opened(browser, doors[1]) as tab:
        page = tab.open(f"#token={TOKEN.replace(' ', '%20')}")
        tab.wait_for_picture()
        page.click("#start")
        tab.told("This token only watches.")
        expect(page.locator("#connection")).to_have_attribute("data-state", "live")
        expect(page.locator("#token")).to_be_hidden()


def test_a_projector_whose_token_only_watches_turns_dark_for_itself_alone(browser: Browser, doors: tuple[Engine, str]):
    with opened(browser, doors[1]) as tab:
        page = tab.open(f"?view#token={TOKEN.replace(' ', '%20')}")
        tab.wait_for_picture()
        page.keyboard.press("b")
        tab.wait("getComputedStyle(document.getElementById('picture')).opacity === '0'")
        expect(page.locator("#connection")).to_have_attribute("data-state", "live")
        expect(page.locator("#token")).to_be_hidden()
    assert not doors[0].parameters.blackout
