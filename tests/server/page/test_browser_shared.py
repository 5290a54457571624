"""The sound of another tab in real Chromium: taken raw, let go by either side, and told where there is none.

The browser chooses the tab by its title, as a hand would in its dialogue; nothing about the capture is pretended.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Page, Playwright, expect

from tests.server.page.browser import MICROPHONE, REMEMBER_CONTEXTS, Tab, launch

RATE = 48_000  # Hz
TITLE = "Sounding"
CHOOSES = f"--auto-select-tab-capture-source-by-title={TITLE}"
PLAYS = "--autoplay-policy=no-user-gesture-required"
AUDIBLE, INAUDIBLE = 1e-2, 1e-6  # amplitudes
LEVEL = "Number(document.getElementById('meter').getAttribute('aria-valuenow'))"
TONE = """() => {
  const context = new AudioContext();
  const tone = new OscillatorNode(context, { frequency: 440 });
  const both = new ChannelMergerNode(context, { numberOfInputs: 2 });
  window.gains = [0, 1].map((channel) => {
    const gain = new GainNode(context, { gain: 0.1 });
    tone.connect(gain).connect(both, 0, channel);
    return gain;
  });
  both.connect(context.destination);
  tone.start();
}"""
SECOND_IS_SOFT = "void (gains[1].gain.value = 0.01)"  # -43 dBFS
# Keeps what getDisplayMedia was asked for, and what it gave.
REMEMBER_SHARED = """
window.shared = [];
const share = MediaDevices.prototype.getDisplayMedia;
MediaDevices.prototype.getDisplayMedia = async function (wanted) {
  window.wanted = wanted;
  const stream = await share.call(this, { ...wanted, ...window.instead });
  window.shared.push(...stream.getTracks());
  return stream;
};
"""
STATES = "shared.map(({ kind, readyState }) => `${kind} ${readyState}`).sort().join()"


def hear_tab(tab: Tab) -> None:
    """Share the other tab, and wait until its tone is heard."""
    tab.page.click("#start-tab")
    tab.wait(f"Math.abs({LEVEL} + 23) <= 1")


@pytest.fixture(scope="module")
def browser(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium whose microphone hears a sine without a pause."""
    spoken = tmp_path_factory.mktemp("spoken") / "steady.wav"
    steady = 0.1 * np.sin(2 * np.pi * 440 * np.arange(10 * RATE) / RATE)
    soundfile.write(spoken, steady, RATE, subtype="PCM_16")
    with launch(playwright, CHOOSES, PLAYS, MICROPHONE, spoken=spoken, sounding=True) as running:
        yield running


@pytest.fixture
def sounding(tab: Tab) -> Page:
    """Another tab, which plays a sine at -23 dBFS."""
    tab.page.add_init_script(REMEMBER_SHARED)
    tab.page.context.grant_permissions(["microphone"])
    other = tab.page.context.new_page()
    other.set_content(f"<title>{TITLE}</title>")
    other.evaluate(TONE)
    tab.page.bring_to_front()
    return other


@pytest.mark.usefixtures("sounding")
def test_a_tab_is_heard_raw_without_a_microphone_and_nobody_is_filmed(tab: Tab):
    page = tab.open()
    page.click("#start-tab")
    tab.wait_for_sound()
    tab.wait(f"Math.abs({LEVEL} + 23) <= 1")
    assert page.evaluate("streams.length") == 0
    assert page.evaluate(STATES) == "audio live,video ended"
    settings = page.evaluate("shared.find(({ kind }) => kind === 'audio').getSettings()")
    names = ("echoCancellation", "noiseSuppression", "autoGainControl", "suppressLocalAudioPlayback")
    assert [settings[name] for name in names] == [False] * 4
    asked = page.evaluate("[wanted.systemAudio, wanted.selfBrowserSurface, wanted.surfaceSwitching]")
    assert asked == ["include", "exclude", "include"]
    expect(page.locator("#raw")).to_contain_text("unprocessed")
    expect(page.locator("#monitor")).to_be_hidden()
    expect(page.locator("#input option:checked")).to_have_text("what is shared")


@pytest.mark.usefixtures("sounding")
@pytest.mark.slow
def test_the_page_stays_in_front_and_goes_on_drawing(tab: Tab):
    page = tab.open()
    page.evaluate("void (function count() { window.drawn = (window.drawn ?? 0) + 1; requestAnimationFrame(count); })()")
    hear_tab(tab)
    drawn = page.evaluate("drawn")
    tab.wait("parseFloat(document.getElementById('rate').textContent) > 2")
    tab.wait(f"drawn > {drawn} + 100")  # a page behind another one draws once a second


@pytest.mark.usefixtures("sounding")
def test_the_performer_ends_the_sharing_and_takes_the_microphone(tab: Tab):
    page = tab.play()
    page.click("#open-tab")
    expect(page.locator("#open-tab")).to_have_text("stop sharing")
    tab.wait(f"Math.abs({LEVEL} + 23) <= 1")
    assert page.evaluate("streams[0].getAudioTracks()[0].readyState") == "ended"
    page.click("#open-tab")
    tab.wait(f"{STATES} === 'audio ended,video ended'")
    expect(page.locator("#input option:checked")).to_have_text("no microphone")
    page.select_option("#input", index=1)
    tab.wait("streams.length === 2")
    expect(page.locator("#open-tab")).to_have_text("hear a tab")
    expect(page.locator(".notice")).to_have_count(0)


def test_a_sharing_that_ends_elsewhere_is_told_and_can_be_had_again(tab: Tab, sounding: Page):
    page = tab.open()
    hear_tab(tab)
    sounding.close()
    tab.told("The sharing has ended: no sound comes any more.")
    expect(page.locator("#open-tab")).to_have_text("hear a tab")
    expect(page.locator("#input option:checked")).to_have_text("no microphone")
    expect(page.locator("#raw")).to_be_empty()
    again = tab.page.context.new_page()
    again.set_content(f"<title>{TITLE}</title>")
    again.evaluate(TONE)
    page.bring_to_front()
    page.click("text=Share again")
    tab.wait(f"Math.abs({LEVEL} + 23) <= 1")
    expect(page.locator(".notice")).to_have_count(0)


@pytest.mark.usefixtures("sounding")
def test_a_dialogue_that_is_answered_after_a_file_was_chosen_changes_nothing(tab: Tab, tmp_path: Path):
    tab.page.add_init_script(
        "const choose = MediaDevices.prototype.getDisplayMedia;"
        "MediaDevices.prototype.getDisplayMedia = async function (wanted) {"
        "  await new Promise((answer) => (window.answer = answer));"
        "  return choose.call(this, wanted);"
        "};"
    )
    soundfile.write(tmp_path / "soft.wav", 0.01 * np.sin(np.arange(20 * RATE) / 10), RATE)
    page = tab.open()
    page.click("#start-tab")
    tab.wait("window.answer")
    page.set_input_files("#file", tmp_path / "soft.wav")
    tab.wait(f"Math.abs({LEVEL} + 43) <= 1")
    page.evaluate("answer()")
    tab.wait(f"{STATES} === 'audio ended,video ended'")
    expect(page.locator("#file-name")).to_have_text("soft.wav")
    expect(page.locator("#open-tab")).to_have_text("hear a tab")
    tab.wait(f"Math.abs({LEVEL} + 43) <= 1")


@pytest.mark.usefixtures("sounding")
def test_a_dialogue_that_is_refused_does_not_cost_the_file_that_is_being_loaded(tab: Tab, tmp_path: Path):
    tab.page.add_init_script(
        "MediaDevices.prototype.getDisplayMedia = async () => { throw new DOMException('', 'NotAllowedError'); };"
        "const decode = BaseAudioContext.prototype.decodeAudioData;"
        "BaseAudioContext.prototype.decodeAudioData = async function (bytes) {"
        "  await new Promise((begin) => (window.begin = begin));"
        "  return decode.call(this, bytes);"
        "};"
    )
    soundfile.write(tmp_path / "soft.wav", 0.01 * np.sin(np.arange(20 * RATE) / 10), RATE)
    page = tab.open()
    page.set_input_files("#file", tmp_path / "soft.wav")
    tab.wait("window.begin")
    page.click("#open-tab")
    tab.told("Nothing was shared.")
    page.evaluate("begin()")
    expect(page.locator("#file-name")).to_have_text("soft.wav")
    tab.wait(f"Math.abs({LEVEL} + 43) <= 1")


@pytest.mark.usefixtures("sounding")
@pytest.mark.slow
def test_a_picture_without_sound_is_not_kept(tab: Tab):
    page = tab.play()
    page.evaluate("void (window.instead = { audio: false })")
    page.click("#open-tab")
    tab.told("What was shared has no sound.")
    assert page.evaluate(STATES) == "video ended"
    assert page.evaluate("streams[0].active")
    page.evaluate("void (window.instead = {})")
    page.click("#open-tab")
    expect(page.locator("#open-tab")).to_have_text("stop sharing")
    expect(page.locator(".notice")).to_have_count(0)


@pytest.mark.usefixtures("sounding")
@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("NotAllowedError", "Nothing was shared. Choose a tab"),
        ("NotReadableError", "cannot be taken on this system"),
        ("TypeError", "The sound of a tab cannot be taken: no"),
    ],
)
@pytest.mark.slow
def test_a_sharing_that_is_refused_leaves_the_microphone(tab: Tab, error: str, said: str):
    page = tab.play()
    page.evaluate(
        "(name) => void (MediaDevices.prototype.getDisplayMedia = async () => {"
        "  throw Object.assign(new Error('no'), { name });"
        "})",
        error,
    )
    page.click("#open-tab")
    tab.told(said)
    assert page.evaluate("streams[0].active")


@pytest.mark.usefixtures("sounding")
@pytest.mark.slow
def test_a_sharing_survives_the_sound_being_opened_again(tab: Tab):
    tab.page.add_init_script(REMEMBER_CONTEXTS)
    page = tab.open()
    hear_tab(tab)
    page.evaluate("contexts[0].close()")
    tab.told("The browser has closed the sound.")
    page.click("text=Open it again")
    tab.wait("contexts.length === 2")
    expect(page.locator(".notice")).to_have_count(0)
    tab.wait(f"Math.abs({LEVEL} + 23) <= 1")


@pytest.mark.slow
def test_a_shared_tab_keeps_its_channel_when_the_sound_is_opened_again(tab: Tab, sounding: Page):
    tab.page.add_init_script(REMEMBER_CONTEXTS)
    sounding.evaluate(SECOND_IS_SOFT)
    page = tab.open()
    page.click("#start-tab")
    page.select_option("#use", label="channel 2")
    tab.wait(f"Math.abs({LEVEL} + 43) <= 1")
    page.evaluate("contexts[0].close()")
    tab.told("The browser has closed the sound.")
    tab.wait(f"{LEVEL} === -60")
    page.click("text=Open it again")
    tab.wait(f"{LEVEL} > -60")
    tab.wait(f"Math.abs({LEVEL} + 43) <= 1")
    expect(page.locator("#use")).to_have_value("2")


@pytest.mark.slow
def test_what_is_monitored_can_be_heard(tab: Tab):
    page = tab.page
    page.context.grant_permissions(["microphone"])
    page.add_init_script(f"addEventListener('load', () => (document.title = '{TITLE}'))")
    tab.play()
    other = page.context.new_page()
    other.goto(tab.url + "?view")
    other.mouse.click(5, 5)
    other.evaluate(LISTEN)
    assert _loudest(other) < INAUDIBLE
    page.click("#monitor")
    assert _loudest(other) > AUDIBLE
    page.click("#monitor")
    assert _loudest(other) < INAUDIBLE


# Listens to the other tab; `loudest` is the largest of the newest 32768 samples, 0.7 s.
LISTEN = """async () => {
  const stream = await navigator.mediaDevices.getDisplayMedia({ audio: true, video: true });
  const context = new AudioContext();
  const ear = new AnalyserNode(context, { fftSize: 32768 });
  context.createMediaStreamSource(stream).connect(ear);
  window.loudest = async () => {
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const samples = new Float32Array(ear.fftSize);
    ear.getFloatTimeDomainData(samples);
    return Math.max(...samples.map(Math.abs));
  };
}"""


def _loudest(page: Page) -> float:
    loudest: float = page.evaluate("loudest()")
    return loudest
