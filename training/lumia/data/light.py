"""Light forms to learn from: veils, caustics, rosettes, embers and haze, made of nine numbers and of latent noise.

A sheet of rays leaves a soft source, is folded by slow mirrors, and is bright where rays pile up (M. Berry and
C. Upstill, "Catastrophe optics", 1980), as in Thomas Wilfred's lumia. What is measured in a sound decides what kind of
light it is (`clavilux.runtime.output.light_numbers`), the noise, smoothed, where its folds run: a one-step model shows
the mean over everything that its noise does not decide.

    pitch: hue, and height on the wall      brightness: how fine and sharp the folds are
    noisiness: turbulence, embers, haze     density of onsets: how many sheets
    harmonicity: from a veil to a rosette   loudness: extent and light
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from clavilux.runtime.diffusion.noise_spectrum import middle
from clavilux.runtime.output.light_sheets import RING
from clavilux.runtime.output.light_state import MAX_SHEETS

CELL = 16  # pixels a side that one cell of latents stands for
ROWS = 16  # cells of the usual height
FOLD_ACROSS, FOLD_DOWN = 4, 5  # channels of the noise that fold all sheets, each where it stands
HUE_NOISE, MESH_NOISE = 2, 3  # channels that shade the hue and let the source show its weave
EMBER_NOISE, EMBER_ACROSS, EMBER_DOWN, HAZE_NOISE = 8, 9, 10, 11  # channels, not smoothed
LOCAL = 0.55  # width of the low-pass that leaves noise its own scale, in sixteenths of the height
RAYS = 1.5  # for each pixel along a side
OVERHANG = 1.15  # the rays' plane, relative to the picture
SLOW = 3.2  # width of another, for shades
VEIL = 0.6  # power by which a smaller veil is brighter
CALM, TORN = 0.5, 1.7  # how far folds are bent, relative to what makes rays meet
RISE = 0.55  # half heights from the middle to where the lowest and the highest notes stand
SPREAD = ((0.0, 0.0), (-0.56, 0.16), (0.58, -0.12), (0.10, 0.42))  # where each sheet stands, half widths and heights
TURNS = (0.0, 0.13, -0.12, 0.42)  # hue of each sheet beside the first, turns
SECOND, FEWER = 0.62, 0.22  # size of the later sheets, and how much smaller the first is among many
ARMS = 6  # of a rosette
FAINTEST, BRIGHTEST = 0.03, 1.6  # light of a sheet
DARKEST = 2e-4  # light of a ray that is left out
TOE = 0.25  # light below this is held back, so that folds stand in the dark
EXPOSURE = 2.6
GAMMA = 2.0  # of the pictures
MOONLIGHT = (0.42, 0.55, 0.80)  # linear light of what has no pitch
NIGHT = (0.0022, 0.0018, 0.0090)  # linear light of the ground
COLD, HOT = 2.5, 0.2  # noise from which a cell glows, in a calm and in a torn light
EMBER_SIZE = 3.0  # pixels, standard deviation


@dataclass(frozen=True)
class Figures:
    """Numbers of B lights, each [B, 1, 1] in 0..1."""

    hue: Tensor  # turns
    colour: Tensor
    place: Tensor
    fineness: Tensor
    turbulence: Tensor
    sheets: Tensor
    symmetry: Tensor
    extent: Tensor
    light: Tensor


def figures(numbers: Tensor) -> Figures:
    """Return numbers [B, 9] of `clavilux.runtime.output.light_numbers`, -1..1, by name."""
    x, y = numbers[:, 0], numbers[:, 1]
    shares = ((numbers[:, i] + 1) / 2 for i in range(2, numbers.shape[1]))
    parts = (torch.atan2(y, x) / (2 * math.pi) % 1.0, (x * x + y * y).sqrt().clamp(max=1.0), *shares)
    return Figures(*(part[:, None, None] for part in parts))


def random_numbers(count: int, dice: torch.Generator) -> Tensor:
    """Return the numbers [count, 9] of lights of all kinds."""
    shares = torch.rand(count, 7, generator=dice)
    shares[:, 2] **= 1.5  # calm more often than torn
    shares[:, 4] **= 1.3
    turn = 2 * math.pi * torch.rand(count, generator=dice)
    colour = (1.6 * torch.rand(count, generator=dice)).clamp(max=1.0)
    return torch.cat([(colour * turn.cos())[:, None], (colour * turn.sin())[:, None], 2 * shares - 1], dim=1)


def field(channel: Tensor, width: float, height: int, across: int, overhang: float = 1.0) -> Tensor:
    """Return the smooth field [B, height, across] of unit variance that noise [B, h, w] draws.

    `width` is that of the low-pass, in sixteenths of the height; the field goes beyond the edges by `overhang`.
    """
    rows, columns = channel.shape[-2:]
    width *= rows / ROWS
    return _bells(rows, height, width, overhang) @ channel @ _bells(columns, across, width, overhang).T


@lru_cache(maxsize=256)
def _bells(cells: int, points: int, width: float, overhang: float) -> Tensor:
    """Return Gaussian weights [points, cells] of cells for points spread evenly over them, and beyond."""
    centres = torch.arange(cells, dtype=torch.float64) + 0.5
    places = ((torch.arange(points, dtype=torch.float64) + 0.5) / points - 0.5) * overhang * cells + cells / 2
    places = places.clamp(0, cells)
    bells = torch.exp(-0.5 * ((places[:, None] - centres[None, :]) / width) ** 2)
    return (bells / bells.pow(2).sum(dim=1, keepdim=True).sqrt()).float()


def paint_light(noise: Tensor, numbers: Tensor) -> Tensor:
    """Return light [B, 3, H, W], linear in 0..1, of numbers [B, 9] and latent noise [B, C, h, w]: H = CELL h."""
    known = figures(numbers)
    each = zip(_sheets(noise, known), known.fineness.flatten().tolist(), strict=True)
    soft = torch.stack([_sharpened(sheets, fineness) for sheets, fineness in each])
    whole = soft + _embers(noise, known) + _haze(noise, known)
    return -torch.expm1(-EXPOSURE * whole * whole / (whole + TOE))


def paint_ground(noise: Tensor, numbers: Tensor) -> Tensor:
    """Return the dark ground [B, 3, H, W], linear, with an afterglow of the light's colour up to its edges."""
    known = figures(numbers)
    height, width = CELL * noise.shape[2], CELL * noise.shape[3]
    near, far = (
        _widened(field(noise[:, i], SLOW, height // 4, width // 4), 4)[:, None] for i in (HUE_NOISE, MESH_NOISE)
    )
    night = torch.tensor(NIGHT)[:, None, None] * (1 + 0.6 * torch.tanh(near))
    glow = (0.006 + 0.02 * known.light)[:, None] * torch.sigmoid(1.5 * far)
    return night + glow * _tones(known.hue, known.colour).permute(0, 3, 1, 2)


def encoded(linear: Tensor) -> Tensor:
    """Return linear light as it is stored in pictures, 0..1."""
    return linear.clamp(0, 1) ** (1 / GAMMA)


def tone(numbers: Tensor) -> Tensor:
    """Return the linear colour [B, 3] of lights [B, 9]."""
    known = figures(numbers)
    return _tones(known.hue, known.colour)[:, 0, 0]


def _tones(hue: Tensor, colour: Tensor) -> Tensor:
    """Return the linear colour [..., 3] of hues in turns, paler where `colour` is less than 1."""
    ring = torch.tensor(RING)
    at = hue % 1.0 * len(RING)
    first = at.floor().long() % len(RING)
    part = (at - at.floor())[..., None]
    pure = ring[first] * (1 - part) + ring[(first + 1) % len(RING)] * part
    pale = torch.tensor(MOONLIGHT)
    return pale + colour[..., None] * (pure - pale)


def _sheets(noise: Tensor, known: Figures) -> Tensor:
    """Return the rays that arrive [B, 3, H, W], relative to those that left."""
    batch, _, rows, columns = noise.shape
    height, width = CELL * rows, CELL * columns
    mesh = round(RAYS * height), round(RAYS * width)
    picture = torch.zeros(batch * height * width, 3)
    shade = torch.tanh(field(noise[:, HUE_NOISE], SLOW, *mesh, OVERHANG))
    weave = torch.tanh(1.4 * field(noise[:, MESH_NOISE], LOCAL, *mesh, OVERHANG))
    folds = [_fold(noise[:, i], known, mesh) for i in (FOLD_ACROSS, FOLD_DOWN)]
    for number in range(MAX_SHEETS):
        present = _smooth((MAX_SHEETS - 1) * known.sheets + 1 - number)
        if bool((present > 0).any()):
            x, y, source = _folded(folds, known, number, columns / rows)
            source = source * (0.58 + 0.42 * weave) * present * (FAINTEST + BRIGHTEST * known.light**2)
            colours = _tones(known.hue + TURNS[number] + 0.07 * shade, known.colour.expand_as(shade))
            light = (OVERHANG / RAYS) ** 2 * source[..., None] * colours
            _land(picture, (x * rows / columns + 1) * width / 2, (y + 1) * height / 2, light, (height, width))
    return picture.reshape(batch, height, width, 3).permute(0, 3, 1, 2)


def _folded(folds: list[Tensor], known: Figures, number: int, aspect: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return where the rays of a sheet arrive (half heights, to the right and down), and how bright they left."""
    right, below = folds
    down, across = (torch.linspace(1 / count - 1, 1 - 1 / count, count) * OVERHANG for count in right.shape[1:])
    size = (0.32 + 0.88 * known.extent) * (0.75 + 0.25 * aspect)
    size = size * (1 - FEWER * known.sheets if number == 0 else SECOND)
    centre = aspect * SPREAD[number][0], RISE * (1 - 2 * known.place) - SPREAD[number][1]
    u, v = aspect * across[None, None, :] - centre[0], down[None, :, None] - centre[1]
    square = (u * u + v * v) / size**2
    radius, angle = square.sqrt(), torch.atan2(v, u)
    waves = 1.5 + 5 * known.fineness  # rings, half ones in the sheet's own size
    ripple = 0.9 / waves * torch.cos(waves * math.pi * radius) * torch.exp(-0.8 * square)
    petals = 0.34 * torch.cos(ARMS * angle) * radius * torch.exp(-0.5 * square)
    out = size * known.symmetry * (petals + ripple - 0.12 * radius)
    round_it = -0.20 * size * known.symmetry * torch.sin(ARMS * angle) * radius
    cosine, sine = torch.cos(angle), torch.sin(angle)
    x = centre[0] + u + right + out * cosine - round_it * sine
    y = centre[1] + v + below + out * sine + round_it * cosine
    wide, high = 0.6 + 0.4 * known.symmetry, 0.48 + 0.52 * known.symmetry  # a veil lies, a rosette is round
    inside = ((u / wide) ** 2 + (v / high) ** 2) / size**2
    return x, y, torch.exp(-1.3 * inside * inside) / (wide * high) ** VEIL


def _fold(channel: Tensor, known: Figures, mesh: tuple[int, int]) -> Tensor:
    """Return how far rays are displaced [B, *mesh], half heights: near, so that what noise folds lies where it is."""
    reach = (CALM + (TORN - CALM) * known.turbulence) / (math.pi * middle(known.fineness))
    folds: Tensor = (1 - 0.65 * known.symmetry) * reach * field(channel, LOCAL, *mesh, OVERHANG)
    return folds


def _land(picture: Tensor, x: Tensor, y: Tensor, light: Tensor, size: tuple[int, int]) -> None:
    """Add rays, but the darkest, to pictures [B * H * W, 3], each shared by the four pixels round where it arrives."""
    height, width = size
    lit = light.amax(dim=-1) > DARKEST
    first = (torch.arange(len(x)) * height * width)[:, None, None].expand_as(x)[lit]
    x, y, light = x[lit] - 0.5, y[lit] - 0.5, light[lit]
    left, top = x.floor(), y.floor()
    for column, row in ((left, top), (left + 1, top), (left, top + 1), (left + 1, top + 1)):
        share = (1 - (x - column).abs()) * (1 - (y - row).abs())
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        places = (first + row.long() * width + column.long())[inside]
        picture.index_add_(0, places, light[inside] * share[inside][:, None])


def _sharpened(sheets: Tensor, fineness: float) -> Tensor:
    """Return sheets [3, H, W] in soft focus, with their glow."""
    height = sheets.shape[1]
    figure = blurred(sheets, (2.2 + 7.8 * (1 - fineness) ** 2) * height / (CELL * ROWS))
    return figure + 0.22 * blurred(figure, 0.05 * height) + 0.2 * blurred(figure, 0.17 * height)


def blurred(picture: Tensor, width: float) -> Tensor:
    """Return [C, H, W] under a Gaussian of `width` pixels, dark beyond the edges; a wide one is made of a quarter."""
    if width > 8:
        return _widened(blurred(avg_pool2d(picture[None], 4)[0], width / 4), 4)
    height, across = picture.shape[-2:]
    return _gaussian(height, width) @ picture @ _gaussian(across, width).T


@lru_cache(maxsize=64)
def _gaussian(size: int, width: float) -> Tensor:
    away = torch.arange(size)[:, None] - torch.arange(size)[None, :]
    return torch.exp(-0.5 * (away / width) ** 2) / (width * math.sqrt(2 * math.pi))


def _widened(small: Tensor, factor: int) -> Tensor:
    """Return [C, h, w] enlarged."""
    return interpolate(small[None], scale_factor=factor, mode="bilinear", align_corners=False)[0]


def _near_figure(noise: Tensor, known: Figures) -> Tensor:
    """Return how near each cell is to the light [B, h, w]: 1 in its middle."""
    rows, columns = noise.shape[-2:]
    down = torch.linspace(-1, 1, rows)[None, :, None] + RISE * (2 * known.place - 1)
    across = torch.linspace(-1, 1, columns)[None, None, :]
    return torch.exp(-0.7 * (down**2 + across**2) / (0.35 + 0.75 * known.extent) ** 2)


def _embers(noise: Tensor, known: Figures) -> Tensor:
    """Return sparks [B, 3, H, W]: at most one in each cell of the noise, which says where in it and how bright."""
    rows, columns = noise.shape[-2:]
    hot = (noise[:, EMBER_NOISE] - COLD + (COLD - HOT) * known.turbulence).clamp(0, 1)
    right, below = (0.5 * torch.tanh(noise[:, i]) for i in (EMBER_ACROSS, EMBER_DOWN))
    down = CELL * (torch.arange(rows)[None, :, None] + 0.5 + below)
    across = CELL * (torch.arange(columns)[None, None, :] + 0.5 + right)
    bells = [
        torch.exp(-0.5 * ((torch.arange(CELL * count) + 0.5 - middle[..., None]) / EMBER_SIZE) ** 2)
        for count, middle in ((rows, down), (columns, across))
    ]
    sparks = torch.einsum("bij,bijy,bijx->byx", hot * _near_figure(noise, known), *bells)
    colours = 0.45 + 0.55 * _tones(known.hue + 0.06, known.colour)[:, 0, 0]
    return 1.3 * sparks[:, None] * colours[:, :, None, None]


def _haze(noise: Tensor, known: Figures) -> Tensor:
    height, width = CELL * noise.shape[2], CELL * noise.shape[3]
    near = _widened(_near_figure(noise, known), CELL)
    cloud = field(noise[:, HAZE_NOISE], LOCAL, height, width).clamp(min=0)
    cloud = cloud + field(noise[:, EMBER_DOWN], 1.8, height, width).clamp(min=0)
    dense = 0.13 * known.turbulence * (0.1 + 0.5 * known.light) * cloud * near
    return dense[:, None] * _tones(known.hue, known.colour)[:, 0, 0][:, :, None, None]


def _smooth(share: Tensor) -> Tensor:
    share = share.clamp(0, 1)
    return share * share * (3 - 2 * share)
