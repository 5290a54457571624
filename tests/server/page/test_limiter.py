"""The limiter of the page in Chromium, without a graphics processor, beside the limiter of films."""

import base64
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Page, sync_playwright

from clavilux.runtime.output.flash_limiter import FlashLimiter
from clavilux.server.settings import Settings
from tests.flashes import KINDS, Strobe, linear, most_flashes, srgb
from tests.server.fakes import FakeEngine, serving
from tests.server.page.browser import launch, opened

SIZE = (36, 64)  # rows and columns
CLOSE = 40.0  # dB of peak signal to noise
RATE = 30  # frames per second

# Shows pictures (RGB rows from the top, base64) at `times` in ms, and gives back what was shown, as RGBA, the same way.
# Before picture number `resized` the limiter is given another size and then this one again.
LIMIT = """async ({ pictures, gains, times, height, width, resized, enabled, urgent }) => {
  const { openContext, Program, Target, COLOUR_SPACE } = await import('/page/screen/gl.js');
  const { FlashLimiter } = await import('/page/screen/limiter.js');
  const gl = openContext(Object.assign(document.createElement('canvas'), { width, height }));
  const upload = new Program(gl, `${COLOUR_SPACE}
    uniform sampler2D picture;
    uniform float gain;
    void main() { colour = vec4(gain * toLinear(texture(picture, vec2(at.x, 1.0 - at.y)).rgb), 1.0); }`);
  const [limiter, input] = [new FlashLimiter(gl), new Target(gl, width, height)];
  const texture = gl.createTexture();
  const bytes = Uint8Array.from(atob(pictures), (character) => character.charCodeAt(0));
  const size = 3 * width * height;
  gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
  let said = '';
  times.forEach((time, i) => {
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    const picture = bytes.subarray(i * size, (i + 1) * size);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB8, width, height, 0, gl.RGB, gl.UNSIGNED_BYTE, picture);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    upload.cover(input, { picture: texture, gain: gains[i] });
    if (i === resized) limiter.resize(width * 2, height * 2);
    limiter.resize(width, height);
    limiter.limit(input, null, time, enabled, i >= urgent);
    const shown = new Uint8Array(4 * width * height);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, shown);
    const row = (y) => shown.subarray(4 * width * y, 4 * width * (y + 1));
    for (let y = height - 1; y >= 0; y -= 1) said += String.fromCharCode(...row(y));
  });
  if (gl.getError()) throw new Error('WebGL complains');
  return btoa(said);
}"""


@pytest.fixture(scope="module")
def bare() -> Iterator[Page]:
    """A page of the server that runs nothing by itself, in a Chromium that has WebGL."""
    with (
        serving(FakeEngine(), Settings(port=0)) as here,
        sync_playwright() as playwright,
        launch(playwright, drawing=True) as browser,
        opened(browser, here.url) as tab,
    ):
        tab.page.goto(here.url + "healthz")
        yield tab.page
        tab.complaints[:] = [text for text in tab.complaints if "GPU stall" not in text and "404" not in text]


def shown_by_page(
    page: Page,
    pictures: NDArray[np.uint8],
    times: list[float],
    *,
    gains: list[float] | None = None,
    resized: int = -1,
    enabled: bool = True,
    urgent: int = 10_000,
) -> NDArray[np.uint8]:
    """Return what the page's limiter shows of `pictures`, [frames, H, W, 3]; black is urgent from `urgent` on."""
    told = {
        "pictures": base64.b64encode(pictures.tobytes()).decode(),
        "gains": gains or [1.0] * len(times),
        "times": [1000 * time for time in times],
        "height": pictures.shape[1],
        "width": pictures.shape[2],
        "resized": resized,
        "enabled": enabled,
        "urgent": urgent,
    }
    found = np.frombuffer(base64.b64decode(page.evaluate(LIMIT, told)), np.uint8)
    return found.reshape(*pictures.shape[:3], 4)[..., :3]


def psnr(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Return the peak signal to noise of two pictures in dB."""
    return float(10 * np.log10(255**2 / max(np.mean((one.astype(float) - other) ** 2), 1e-9)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_shows_what_films_show_of_a_strobe(bare: Page, kind: str):
    strobe = Strobe(kind, 5, RATE, seconds=2.0, size=SIZE)
    pictures, limiter = np.stack(list(strobe)), FlashLimiter(*SIZE)
    expected = [srgb(limiter.limit(linear(one), time)) for one, time in zip(pictures, strobe.times, strict=True)]
    found = shown_by_page(bare, pictures, strobe.times)
    assert min(psnr(one, other) for one, other in zip(found, expected, strict=True)) >= CLOSE
    assert most_flashes(list(found), strobe.times) <= 2


def test_a_red_that_bytes_make_saturated_counts_as_it_is_shown(bare: Page):
    """Two thousandths below the rule's ratio before it is rounded."""
    times = [i / RATE for i in range(2 * RATE)]
    field = np.full((2 * RATE, *SIZE, 3), (255, 99, 100), np.uint8)
    gains = [0.25 + 0.15 * np.sin(10 * np.pi * time) for time in times]
    unlimited = [srgb(gain * linear(one)) for gain, one in zip(gains, field, strict=True)]
    assert most_flashes(unlimited, times) > 3
    assert most_flashes(list(shown_by_page(bare, field, times, gains=gains)), times) <= 2


def test_what_does_not_flash_is_shown_as_it_is(bare: Page):
    rng = np.random.default_rng(0)
    scene = rng.integers(20, 220, (6, 8, 3)).repeat(6, axis=0).repeat(8, axis=1)
    pictures = np.clip(scene + rng.normal(0, 3, (20, *SIZE, 3)), 0, 255).astype(np.uint8)
    found = shown_by_page(bare, pictures, [i / RATE for i in range(20)])
    assert np.abs(found.astype(int) - pictures).max() <= 1  # a half float, rounded


def test_switched_off_everything_is_shown(bare: Page):
    strobe = Strobe("black and white", 7.5, RATE, seconds=1.0, size=SIZE)
    pictures = np.stack(list(strobe))
    np.testing.assert_array_equal(shown_by_page(bare, pictures, strobe.times, enabled=False), pictures)


def test_a_performers_black_is_black_at_once_in_the_middle_of_a_strobe(bare: Page):
    strobe = Strobe("black and white", 7.5, RATE, seconds=1.0, size=SIZE)
    pictures = np.stack(list(strobe))
    pictures[20:] = 0
    held, black = (shown_by_page(bare, pictures, strobe.times, urgent=urgent) for urgent in (10_000, 20))
    assert held[20].max() > 60
    assert black[20:].max() == 0


def test_a_change_of_size_lets_nothing_flash(bare: Page):
    strobe = Strobe("black and white", 7.5, RATE, seconds=1.0, size=SIZE)
    pictures = np.stack(list(strobe))
    one, other = shown_by_page(bare, pictures, strobe.times), shown_by_page(bare, pictures, strobe.times, resized=20)
    assert min(psnr(*pair) for pair in zip(one, other, strict=True)) >= CLOSE
