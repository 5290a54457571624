"""The page's screen in Chromium, drawn without a graphics processor: beside that of films, and with what befalls it."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from clavilux.command import main
from clavilux.runtime.output.screen import Screen
from clavilux.server.settings import Settings
from tests.paths import SOUNDS
from tests.server.fakes import FakeEngine, serving
from tests.server.page.browser import launch, opened

HEIGHT, WIDTH = 180, 320  # pixels
SMALL = 112  # pixels a side of the pictures
CLOSE = 40.0  # dB of peak signal to noise
LONG = 10.0  # s between two pictures: the second begins to grow from the first alone
DRAWING = (Path(__file__).parent / "drawing.js").read_text(encoding="utf-8").replace("export async", "async")

CASES: list[dict[str, Any]] = [
    {"values": {}},
    {"values": {}, "share": 0.3},
    {"values": {"zoom": 0.6, "rotation": 25.0}},
    {"values": {"mirror": 1, "saturation": 0.3}},
    {"values": {"mirror": 5, "zoom": 1.7, "rotation": 40.0}, "share": 0.5},
    {"values": {"displacement": 0.08}, "now": 3.3},
    {"values": {"hue": 100.0, "saturation": 1.5}},
    {"values": {"exposure": 1.5}},
    {"values": {"glow": 0.8}},
    {"values": {"grain": 0.6}, "now": 7.21},
    {"values": {"trails": 0.9}, "frames": 3, "passed": 0.05},
    {
        "values": {"trails": 0.9, "glow": 0.5, "grain": 0.4, "hue": -30.0, "zoom": 1.2, "displacement": 0.05},
        "frames": 4,
        "passed": 0.04,
        "share": 0.8,
        "now": 2.0,
    },
]

# A screen on a page of its own; `frame` is a grey picture as the stage sends it.
BEGIN = """async (options) => {
  const { Screen } = await import('/page/screen/screen.js');
  document.body.replaceChildren(document.createElement('main'));
  const main = document.querySelector('main');
  main.append(document.createElement('canvas'), document.createElement('canvas'));
  main.style.cssText = 'display: block; width: 160px; height: 90px;';
  window.said = [];
  window.screen_ = new Screen(...main.children, { ...options, say: (text) => said.push(text) });
  window.frame = (sequence, grey, madeAt = 40000 * sequence) =>
    ({ sequence, madeAt, encoding: 'rgb', width: 8, height: 8, data: new Uint8Array(192).fill(grey) });
  window.middle = () => {
    const small = new OffscreenCanvas(1, 1).getContext('2d');
    const { width, height } = main.firstChild;
    small.drawImage(main.firstChild, width / 2 - 5, height / 2 - 5, 10, 10, 0, 0, 1, 1);
    return small.getImageData(0, 0, 1, 1).data[0];
  };
  // Draws refresh by refresh until `ready`, and tells what is seen then.
  window.play = (values, ready) => new Promise((give) => {
    const step = (now) => {
      screen_.draw(now, values, {});
      if (ready(now)) give(middle());
      else requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  });
  window.after = (ms) => { const until = performance.now() + ms; return (now) => now > until; };
  return screen_.plain;
}"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Two real pictures, as PNG, so small that the screen enlarges them."""
    folder = tmp_path_factory.mktemp("pictures")
    for word in ("train", "penguin"):
        assert main(["render", str(SOUNDS / f"{word}.wav"), str(folder / f"{word}.png")]) == 0
        Image.open(folder / f"{word}.png").resize((SMALL, SMALL)).save(folder / f"{word}.png")
    return [(folder / f"{word}.png").read_bytes() for word in ("train", "penguin")]


@pytest.fixture(scope="module")
def bare() -> Iterator[Page]:
    """A page of the server that runs nothing by itself, in a Chromium that has WebGL."""
    with (
        sync_playwright() as playwright,
        serving(FakeEngine(), Settings(port=0)) as here,
        launch(playwright, drawing=True) as browser,
        opened(browser, here.url) as tab,
    ):
        tab.page.goto(here.url + "healthz")
        yield tab.page
        tab.complaints[:] = [text for text in tab.complaints if "GPU stall" not in text and "404" not in text]


def test_films_show_what_the_page_shows(bare: Page, pictures: list[bytes]):
    images = [base64.b64encode(picture).decode() for picture in pictures]
    what = {"images": images, "cases": CASES, "width": WIDTH, "height": HEIGHT}
    drawn = bare.evaluate(f"async (what) => {{ {DRAWING}; return drawCases(what); }}", what)
    decoded = [np.array(Image.open(io.BytesIO(picture)).convert("RGB")) for picture in pictures]
    found = {
        str(case): signal_to_noise(composed(decoded, case), pixels(theirs))
        for case, theirs in zip(CASES, drawn, strict=True)
    }
    assert {case: ratio for case, ratio in found.items() if ratio < CLOSE} == {}


def composed(pictures: list[np.ndarray], case: dict[str, Any]) -> np.ndarray:
    """Return what a film shows of a case."""
    screen, frames = Screen(HEIGHT, WIDTH), case.get("frames", 1)
    for index, picture in enumerate(pictures):
        screen.show(picture, LONG * index)
    shown = np.empty(0)
    for frame in range(frames):
        share = case.get("share", 1) if frame == frames - 1 else 1 - case.get("share", 1)
        screen.pacing.share = lambda time, share=share: share
        shown = screen.draw(case.get("now", 0.0) + frame * case.get("passed", 0.0), case["values"])
    return shown


def pixels(drawn: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(drawn), np.uint8).reshape(HEIGHT, WIDTH, 4)[::-1, :, :3]


def signal_to_noise(one: np.ndarray, other: np.ndarray) -> float:
    error = np.mean((one.astype(float) - other) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def test_a_frame_is_shown_and_its_time_told(bare: Page):
    assert bare.evaluate(BEGIN, {}) is False
    shown_at, asked_at, grey, sequence = bare.evaluate("""async () => {
      for (let sequence = 1; ; sequence += 1) {
        const [asked, told] = [performance.now(), screen_.show(frame(sequence, 200))];
        const grey = await play({}, after(150));
        const shown = await told; // 0 where this machine was too busy to draw it while its time means anything
        if (shown) return [shown, asked, grey, sequence];
      }
    }""")
    assert asked_at < shown_at < asked_at + 20_000
    assert abs(grey - 200) <= 1
    assert bare.evaluate("document.querySelector('canvas').dataset.sequence") == str(sequence)


def test_a_newer_frame_takes_the_place_of_one_that_waits(bare: Page):
    bare.evaluate(BEGIN, {})
    dropped, grey = bare.evaluate("""async () => {
      const told = [screen_.show(frame(1, 50)), screen_.show(frame(2, 200))];
      const grey = await play({}, after(100));
      return [await told[0], grey];
    }""")
    assert dropped == 0
    assert abs(grey - 200) <= 1


def test_a_freeze_keeps_the_picture_and_effects_go_on(bare: Page):
    bare.evaluate(BEGIN, {})
    frozen, darker, thawed = bare.evaluate("""async () => {
      screen_.show(frame(1, 200));
      await play({}, after(100));
      screen_.frozen = true;
      const dropped = await screen_.show(frame(2, 50));
      const frozen = await play({}, after(100));
      const darker = await play({ exposure: -2 }, after(100));
      screen_.frozen = false;
      screen_.show(frame(3, 50));
      return [dropped + frozen, darker, await play({}, after(600))];
    }""")
    assert abs(frozen - 200) <= 1
    assert darker < 120
    assert abs(thawed - 50) <= 1


def test_a_lost_context_comes_back_with_the_picture(bare: Page):
    bare.evaluate(BEGIN, {})
    drawn, grey = bare.evaluate("""async () => {
      screen_.show(frame(1, 200));
      await play({}, after(100));
      const canvas = document.querySelector('canvas');
      const happened = (name) => new Promise((give) => canvas.addEventListener(name, give, { once: true }));
      const loss = screen_.gl.getExtension('WEBGL_lose_context');
      const lost = happened('webglcontextlost');
      loss.loseContext();
      await lost;
      const drawn = screen_.draw(performance.now(), {}, {});
      const restored = happened('webglcontextrestored');
      setTimeout(() => loss.restoreContext(), 10);
      await restored;
      return [drawn, await play({}, after(100))];
    }""")
    assert drawn is False
    assert abs(grey - 200) <= 1


def test_a_context_that_stays_away_is_told_until_it_is_back(bare: Page):
    bare.evaluate(BEGIN, {})
    said = bare.evaluate("""async () => {
      screen_.show(frame(1, 200));
      await play({}, after(100));
      const canvas = document.querySelector('canvas');
      const loss = screen_.gl.getExtension('WEBGL_lose_context');
      loss.loseContext();
      while (!said.length) await new Promise(requestAnimationFrame);
      const restored = new Promise((give) => canvas.addEventListener('webglcontextrestored', give, { once: true }));
      loss.restoreContext();
      await restored;
      return said;
    }""")
    assert len(said) == 2
    assert "has stopped drawing" in said[0]
    assert said[1] == ""


def test_the_canvas_follows_its_place(bare: Page):
    bare.evaluate(BEGIN, {})
    size = bare.evaluate("""async () => {
      screen_.show(frame(1, 200));
      await play({}, after(100));
      document.querySelector('main').style.width = '300px';
      const grey = await play({}, after(200));
      const { width, height } = document.querySelector('canvas');
      return [width / screen_.resolution.scale, height / screen_.resolution.scale, grey];
    }""")
    assert size[:2] == pytest.approx([300, 90], abs=4)  # pixels are whole at any resolution
    assert abs(size[2] - 200) <= 1


def test_nothing_is_drawn_while_nothing_changes(bare: Page):
    bare.evaluate(BEGIN, {})
    drawn = bare.evaluate("""async () => {
      screen_.show(frame(1, 200));
      await play({}, after(100));
      const soon = performance.now() + 60000;
      return [screen_.draw(soon, {}), screen_.draw(soon + 60000, {}), screen_.draw(soon + 120000, { grain: 0.1 })];
    }""")
    assert drawn == [False, False, True]


def test_who_asks_for_pictures_only_gets_no_more_and_is_told_nothing(bare: Page):
    assert bare.evaluate(BEGIN, {"plain": True}) is True
    grey, drawn, said = bare.evaluate("""async () => {
      await screen_.show(frame(1, 200));
      return [middle(), screen_.draw(performance.now(), {}, {}), said];
    }""")
    assert abs(grey - 200) <= 1
    assert (drawn, said) == (False, [])


def test_a_browser_without_webgl_says_so_once_and_shows_pictures(bare: Page):
    bare.evaluate("""() => {
      const real = HTMLCanvasElement.prototype.getContext;
      window.withWebGl = () => { HTMLCanvasElement.prototype.getContext = real; };
      HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
        return kind === 'webgl2' ? null : real.call(this, kind, ...rest);
      };
    }""")
    try:
        assert bare.evaluate(BEGIN, {}) is True
        grey, said = bare.evaluate("async () => { await screen_.show(frame(1, 200)); return [middle(), said]; }")
    finally:
        bare.evaluate("withWebGl()")
    assert abs(grey - 200) <= 1
    assert len(said) == 1
    assert "WebGL" in said[0]


def test_light_answers_the_pulse_and_leaves_the_middle_to_what_is_known(bare: Page):
    bare.evaluate(BEGIN, {})
    dark, lit, known = bare.evaluate("""async () => {
      const pulse = { index: 0, level: 0.9, level_db: -10, onset: 0, density: 0.5, brightness: 0.5, noisiness: 0.2,
        harmonicity: 0.5, pitch_class: 0.1, pitch_height: 0.5, pitch_confidence: 1, beat_phase: 0, beat_confidence: 0 };
      const brightest = () => {
        const small = new OffscreenCanvas(32, 18).getContext('2d');
        small.drawImage(document.querySelector('canvas'), 0, 0, 32, 18);
        return Math.max(...small.getImageData(12, 5, 8, 8).data.filter((_, at) => at % 4 < 3));
      };
      let now = performance.now() + 5000;
      const seen = async (values, heard) => {
        for (let step = 0; step < 40; step += 1) screen_.draw((now += 100), values, pulse, heard);
        await new Promise(requestAnimationFrame);
        screen_.draw((now += 100), values, pulse, heard);
        return brightest();
      };
      screen_.show(frame(1, 10));
      await play({}, after(100));
      const dark = await seen({ light: 0, grain: 0.01 }, {});
      return [dark, await seen({ light: 1 }, { known: 0 }), await seen({ light: 1 }, { known: 1 })];
    }""")
    assert 5 < dark < 20
    assert lit > 60
    assert known < lit / 2


def test_a_blackout_is_black_at_the_next_draw_and_a_fade_is_not(bare: Page):
    bare.evaluate(BEGIN, {})
    before, black, again, fading = bare.evaluate("""async () => {
      const seen = (values, passed) => new Promise((give) => requestAnimationFrame(() => {
        screen_.draw((now += passed), values, {});
        give(middle());
      }));
      screen_.show(frame(1, 200));
      await play({}, after(100));
      let now = performance.now() + 1000;
      return [
        await seen({ grain: 0.01 }, 20), await seen({ blackout: true }, 20),
        (await seen({}, 20), await seen({ grain: 0.01 }, 9000)), await seen({ blackout: true, fade: 2 }, 200),
      ];
    }""")
    assert (before > 190, black, again > 190) == (True, 0, True)
    assert 100 < fading < 195


def test_an_onset_ends_a_rest_and_a_reading_of_no_time_is_taken_as_of_now(bare: Page):
    rests = """async () => {
      const { Show } = await import('/page/show.js');
      document.body.replaceChildren(document.createElement('main'));
      const main = document.querySelector('main');
      main.append(document.createElement('canvas'), document.createElement('canvas'));
      const show = new Show(...main.children, {});
      const rests = (onset) => {
        const now = performance.now();
        show.screen.restUntil = now + 1000;
        show.feel([{ ...show.reading, onset }], NaN);
        return show.resting(now);
      };
      show.values = { react: 1 };
      return [rests(0), rests(0.4), Math.abs(show.modulator.beat.at - performance.now() / 1000) < 1];
    }"""
    assert bare.evaluate(rests) == [True, False, True]


def test_a_picture_hardly_waits_where_a_program_draws_and_the_light_rests_meanwhile(bare: Page):
    bare.evaluate(BEGIN, {})
    waits, drawn = bare.evaluate("""async () => {
      const { light } = screen_.passes;
      let drawn = 0;
      const { draw } = light;
      light.draw = (...given) => { drawn += 1; return draw.apply(light, given); };
      const pulse = { level: 0.9, level_db: -10, harmonicity: 0.5, pitch_confidence: 1, onset: 0 };
      screen_.show(frame(1, 200));
      await play({}, after(100));
      screen_._measured = Infinity;
      Object.assign(screen_, { _rest: 200, _leastRest: 40 });
      let now = performance.now() + 5000;
      const count = (passed, onset) => {
        drawn = 0;
        if (onset) screen_.wake();
        screen_.draw((now += passed), { light: 1 }, pulse, { onset });
        return drawn;
      };
      count(300, 0); // the light begins
      const drawn_ = [count(300, 0), count(50, 0), count(50, 0.5), count(50, 0), count(200, 0)];
      const waits = [Math.round(screen_.restUntil - now)];
      screen_.show(frame(2, 100));
      while (!screen_._waiting) await new Promise(requestAnimationFrame);
      return [[...waits, Math.round(screen_.restUntil - now)], drawn_];
    }""")
    assert waits == [200, 40]
    assert drawn == [1, 0, 1, 0, 1]


def test_a_picture_that_a_freeze_stops_halfway_is_answered(bare: Page):
    """The server sends no more before it has an answer, and no draw would give one."""
    bare.evaluate(BEGIN, {})
    shown = bare.evaluate("""async () => {
      screen_.show(frame(1, 200));
      await play({}, after(100));
      const answer = screen_.show(frame(2, 100));
      while (!screen_._waiting) await new Promise(requestAnimationFrame);
      screen_._rest = 0;
      screen_._measured = Infinity;
      screen_.draw(performance.now(), { grain: 0.01 }, {});
      const before = Boolean(screen_._growing);
      screen_.frozen = true;
      return [before, await answer];
    }""")
    assert shown == [True, 0]
