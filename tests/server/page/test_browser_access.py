"""The page's looks in real Chromium: what everyone must be able to see, read and reach, on screens of any size."""

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Page, Playwright, expect

from clavilux.runtime.control.parameters import Parameters
from clavilux.runtime.frame import Heard
from clavilux.runtime.playing.engine import Engine
from tests.server.page.browser import MICROPHONE, PUT_AWAY, SOUNDS, WILLING, Tab, launch, opened, until, with_pauses

TEXT_CONTRAST, EDGE_CONTRAST = 4.5, 3.0  # WCAG 2.2, 1.4.3 and 1.4.11
READ = ("#heard", "#meter", "#pulse", "#latency", "#rate", "#file-close", "#file-time", "#freeze", "#panic", "#always")
PULSE = {"low": 0.5, "mid": 0.5, "high": 0.5, "tempo": 121.6, "beat_phase": 0.0, "beat_confidence": 0.9}

# Least contrast of texts, and of edges that mean something, on the veil over a white picture: [[ratio, what], ...].
CONTRASTS = """() => {
  const numbers = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const over = ([r, g, b, a = 1], below) => [r, g, b].map((value, i) => a * value + (1 - a) * below[i]);
  const light = (rgb) => rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  const lineage = (element) => (element ? [element, ...lineage(element.parentElement)] : []);
  const ground = (element) => lineage(element).filter((each) => each.tagName !== 'BODY' && each.tagName !== 'HTML')
    .reverse().reduce((below, each) => over(numbers(getComputedStyle(each).backgroundColor), below), [255, 255, 255]);
  const opacity = (element) => lineage(element).reduce((share, each) => share * getComputedStyle(each).opacity, 1);
  const judge = (element, colour, below = ground(element)) => {
    return [ratio(over([...colour.slice(0, 3), (colour[3] ?? 1) * opacity(element)], below), below),
      `${element.tagName} ${element.id} ${element.textContent.slice(0, 30)}`];
  };
  const inside = [...document.querySelectorAll('#desk *, #notices *, #limiter-off')];
  const seen = inside.filter((each) => each.checkVisibility({ visibilityProperty: true }) && !each.closest('.unseen'));
  const texts = seen.filter((each) => [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
  const edged = seen.filter((each) => parseFloat(getComputedStyle(each).borderTopWidth) > 0);
  return {
    texts: texts.map((each) => judge(each, numbers(getComputedStyle(each).color))),
    // An edge is seen where it differs from what is inside it or from what is round it.
    edges: edged.map((each) => [ground(each), ground(each.parentElement)]
      .map((below) => judge(each, numbers(getComputedStyle(each).borderTopColor), below))
      .reduce((one, other) => (one[0] > other[0] ? one : other))),
  };
}"""
# How much of the picture lies under something else: a grid of points over the canvas, of which the canvas is on top.
FREE = """() => {
  const { x, y, width, height } = document.getElementById('picture').getBoundingClientRect();
  const side = Math.min(width, height);
  const [left, top] = [x + (width - side) / 2, y + (height - side) / 2];
  let free = 0;
  for (let i = 0; i < 20; i += 1) for (let j = 0; j < 20; j += 1) {
    const [across, down] = [left + (side * (i + 0.5)) / 20, top + (side * (j + 0.5)) / 20];
    free += Boolean(document.elementFromPoint(across, down)?.closest('#stage'));
  }
  return free / 400;
}"""


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    with launch(playwright, WILLING, MICROPHONE, spoken=SOUNDS / "penguin.wav") as chromium:
        yield chromium


def _axe(page: Page) -> list[str]:
    """Return what axe-core finds wrong with the page as it is."""
    code = (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    page.evaluate(code + "; undefined")
    found: dict[str, Any] = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [f"{each['id']}: {each['nodes'][0]['html'][:120]}" for each in found["violations"]]


def _feed(page: Page) -> Any:
    """Give the meters of the pulse one reading, and return what they show before the page's own sound moves on."""
    return page.evaluate(
        """async (reading) => {
          const { Readouts } = await import('/page/readouts.js');
          const readouts = new Readouts();
          readouts.pulse(reading);
          readouts.draw(performance.now());
          const [low, light] = ['band-low', 'beat-light'].map((id) => document.getElementById(id).style);
          return [document.getElementById('tempo').value, low.transform, light.opacity];
        }""",
        PULSE,
    )


def test_axe_finds_nothing_before_and_while_it_plays(tab: Tab):
    page = tab.open()
    assert _axe(page) == []
    page.click("#start")
    tab.wait_for_sound()
    _feed(page)
    page.set_input_files("#file", SOUNDS / "elephant.wav")
    tab.unfold()
    page.select_option("[aria-label='Route 1, source']", "onset")
    page.set_input_files("#file", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no sound at all"})
    tab.told("cannot be played")
    assert _axe(page) == []


def test_texts_and_edges_can_be_read_in_every_state(tab: Tab, engine: Engine):
    page = tab.play()
    _feed(page)
    tab.unfold()
    page.fill("#p-seed", "-5")
    page.keyboard.press("Enter")
    page.uncheck("#p-flash_limit")
    for state in ("", "document.body.classList.add('idle')", "document.getElementById('panic').click()"):
        page.evaluate(f"void ({state or 0})")
        page.evaluate("Promise.all(document.getAnimations().map((each) => each.finished))")
        found = page.evaluate(CONTRASTS)
        assert len(found["texts"]) > 100
        assert [each for each in found["texts"] if each[0] < TEXT_CONTRAST] == []
        assert [each for each in found["edges"] if each[0] < EDGE_CONTRAST] == []
    expect(page.locator("#limiter-off")).to_be_visible()
    page.keyboard.press("h")
    expect(page.locator("#limiter-off")).to_be_visible()
    for key in ("h", "p"):
        page.keyboard.press(key)
    page.check("#p-flash_limit")
    until(lambda: engine.parameters.flash_limit and not engine.parameters.panic, "the stage to be as it was")


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1280, 720), (1024, 768), (820, 1180)])
def test_nothing_that_is_read_is_cut_off_and_the_picture_stays_free(
    tab: Tab, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int, height: int
):
    monkeypatch.setattr(engine.instrument._concepts, "nearest", lambda _tokens: Heard("elephant", 0.95))
    page = tab.page
    page.set_viewport_size({"width": width, "height": height})
    tab.play()
    _feed(page)
    page.set_input_files("#file", with_pauses("elephant", tmp_path))
    expect(page.locator("#player")).to_be_visible()
    page.click("#file-loop")
    tab.wait("document.getElementById('heard').checkVisibility({ visibilityProperty: true })")
    for part in READ:
        expect(page.locator(part)).to_be_in_viewport(ratio=1)
    tab.unfold()
    page.locator("#aloud").focus()
    for part in ("#freeze", "#panic", "#always"):  # however far one has scrolled
        expect(page.locator(part)).to_be_in_viewport(ratio=1)
    assert page.evaluate(
        "document.getElementById('file-close').offsetTop === document.getElementById('file-play').offsetTop"
    )
    assert page.evaluate(FREE) == 1


def test_a_telephone_is_played_with_fingers(browser: Browser, url: str, engine: Engine):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(url)
    page.tap("#start")
    expect(page.locator("#desk")).to_be_visible()
    page.evaluate(f"({PUT_AWAY})()")
    assert page.locator("kbd:visible").count() == 0
    assert page.evaluate(FREE) == 1
    for part in ("#freeze", "#blackout", "#panic"):
        box = page.locator(part).bounding_box()
        assert box
        assert min(box["width"], box["height"]) >= 44  # CSS pixels, the size of a finger
        expect(page.locator(part)).to_be_in_viewport(ratio=1)
    page.tap("#blackout")
    until(lambda: engine.parameters.blackout, "the engine to go dark")
    page.tap("#blackout")
    page.locator("#hide").tap()
    expect(page.locator("#desk")).to_be_hidden()
    page.tap("#show")
    expect(page.locator("#desk")).to_be_visible()
    context.close()


@pytest.mark.parametrize(
    ("width", "height"),
    [pytest.param(1280, 720, marks=pytest.mark.slow), pytest.param(820, 1180, marks=pytest.mark.slow), (390, 844)],
)
def test_the_meters_of_many_channels_fit_and_can_be_read(tab: Tab, tmp_path: Path, width: int, height: int):
    channels, rate = 32, 48_000
    sound = np.zeros((20 * rate, channels), np.float32)
    sound[:, 2:4] = np.sin(np.arange(len(sound)) / 10)[:, None] * (0.1, 1.2)
    soundfile.write(tmp_path / "many.wav", sound, rate, subtype="FLOAT")
    page = tab.page
    page.set_viewport_size({"width": width, "height": height})
    tab.play()
    page.set_input_files("#file", tmp_path / "many.wav")
    expect(page.locator(".channel")).to_have_count(channels)
    expect(page.locator("#mixed")).to_contain_text("channel 4 clips")
    page.select_option("#use", "3+4")
    expect(page.locator(".channel.unused")).to_have_count(channels - 2)
    assert _axe(page) == []
    found = page.evaluate(CONTRASTS)
    assert [each for each in found["texts"] if each[0] < TEXT_CONTRAST] == []
    assert [each for each in found["edges"] if each[0] < EDGE_CONTRAST] == []
    column = page.locator("#channels").bounding_box()
    last = page.locator(".channel >> nth=-1").bounding_box()
    assert column
    assert last
    assert last["x"] + last["width"] <= column["x"] + column["width"]
    page.emulate_media(forced_colors="active")
    for part in (".channel.hot .level", ".channel.hot .peak", "#use"):
        expect(page.locator(part)).to_be_visible()
    level = page.locator(".channel.hot .level").evaluate("(e) => getComputedStyle(e).backgroundColor")
    assert level != page.locator("#desk").evaluate("(e) => getComputedStyle(e).backgroundColor")


def test_forced_colours_and_less_motion_keep_every_control(browser: Browser, url: str):
    with opened(browser, url, calm=True) as tab:
        tab.page.emulate_media(forced_colors="active", reduced_motion="reduce")
        page = tab.play()
        _feed(page)
        tab.unfold()
        checked, other = (
            page.locator(f"[name=p-noise]{state} + span >> nth=0").evaluate(
                "(e) => getComputedStyle(e).backgroundColor"
            )
            for state in (":checked", ":not(:checked)")
        )
        assert checked != other
        for part in ("#meter .bar", "#band-low", "#beat-light", "#p-glide", ".dial", "#panic"):
            expect(page.locator(part)).to_be_visible()
        bar = page.locator("#meter .bar").evaluate("(e) => getComputedStyle(e).backgroundColor")
        assert bar != page.locator("#desk").evaluate("(e) => getComputedStyle(e).backgroundColor")
        assert page.locator(".dial").evaluate("(e) => parseFloat(getComputedStyle(e).borderTopWidth)") > 0


def test_what_this_window_does_alone_is_remembered(tab: Tab, engine: Engine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engine.instrument._concepts, "nearest", lambda _tokens: Heard("penguin", 0.95))
    page = tab.play()
    expect(page.locator("#heard-aloud")).to_have_text("penguin")
    expect(page.locator("#confidence-text")).to_contain_text("sure")
    tab.unfold()
    page.uncheck("#aloud")
    expect(page.locator("#heard-aloud")).to_have_attribute("aria-live", "off")
    page.fill("#offset", "40")
    page.keyboard.press("Enter")
    page.reload()
    expect(page.locator("#heard-aloud")).to_have_attribute("aria-live", "off")
    expect(page.locator("#offset")).to_have_value("40")


def test_zero_is_a_word_and_a_route_is_made_by_hand(tab: Tab, engine: Engine):
    page = tab.play()
    tab.unfold()
    expect(page.locator("output[for=p-hop]")).to_have_text("automatic")
    expect(page.locator("output[for=p-lfo_1_beats]")).to_have_text("free")
    shown = page.locator(".route:visible").count()
    page.locator(".route:visible >> nth=-1").locator("select >> nth=0").select_option("low")
    until(lambda: "low > exposure" in " ".join(map(str, engine.parameters.values().values())), "the route")
    expect(page.locator(".route:visible")).to_have_count(min(12, shown + 1))


def test_a_routes_amount_reaches_across_its_parameter_and_goes_back_to_the_first_patch(tab: Tab, engine: Engine):
    engine.set({"route_1": "onset > hue 40, attack 1, release 1", "route_2": "low > zoom 1"})
    page = tab.play()
    tab.unfold()

    def after(route: int, part: str, key: str) -> str:
        before = engine.parameters.values()[f"route_{route}"]
        page.locator(f"#route_{route}-{part}").press(key)
        until(lambda: engine.parameters.values()[f"route_{route}"] != before, f"{key} to act on the {part}")
        return str(engine.parameters.values()[f"route_{route}"])

    assert after(1, "amount", "End").startswith("onset > hue 180,")
    assert after(1, "amount", "Home").startswith("onset > hue -180,")
    assert after(1, "amount", "Delete") == "onset > hue 45, attack 1, release 1, curve 1"
    assert after(1, "attack", "Delete") == "onset > hue 45, attack 0, release 1, curve 1"
    first = Parameters().route_2
    engine.set({"route_2": first.replace("0.65", "0.3")})
    tab.wait("document.getElementById('route_2-amount')?.getAttribute('aria-valuetext').startsWith('0.3')")
    assert after(2, "amount", "Delete").startswith(first.split(",")[0] + ",")


def test_the_knob_turns_by_hand_and_by_key(tab: Tab, engine: Engine):
    engine.set({"react": 1.0})
    page = tab.play()
    box = page.locator(".dial").bounding_box()
    assert box
    page.mouse.move(box["x"] + 30, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 30, box["y"] + 30, steps=4)
    page.mouse.up()
    until(lambda: engine.parameters.react > 1.1, "the knob to turn up")
    page.locator("#p-react").focus()
    page.keyboard.press("Home")
    until(lambda: engine.parameters.react == 0, "the knob to turn down")
    page.locator(".dial").dblclick()
    until(lambda: engine.parameters.react == 1, "the knob to go where it was at first")


def test_the_meters_of_the_pulse_follow_a_reading(tab: Tab):
    page = tab.play()
    assert _feed(page) == ["122 bpm", "scaleX(0.5)", "1"]
    told = page.evaluate(
        """async () => {
          const { Meter } = await import('/page/readouts.js');
          const meter = new Meter();
          meter.note({ rms: -3, peak: 0 });
          meter.draw(performance.now());
          return [document.getElementById('meter').className, document.getElementById('level').value];
        }"""
    )
    assert told == ["hot", "too loud"]
