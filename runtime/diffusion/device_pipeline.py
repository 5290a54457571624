"""Device pipeline: latents never leave the card; tokens and noise go up, one uint8 picture comes down.

Latents that move before they come back do so on the card, too: up go the places and weights of `motion.taps`.

All work of a picture is queued on one stream, and the host waits once, for the picture. Nothing is allocated once a
size has played twice. What goes up lies in pinned memory, in a place of its own for each step, as the card reads it
later than it is written.

Noise is drawn on the host: the same seed gives the same picture on every machine, and 64 KB for 512x512 take some five
microseconds to go up. Reading back is not spread over two pictures: 786 KB take some thirty microseconds, and to begin
the next picture before this one is there would give it older sound.
"""

import time
import weakref
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.bundle.graphs import COEFFICIENTS, GUIDANCE_X0, GUIDED_COEFFICIENTS, NEXT_FROM_NOISE
from clavilux.runtime.diffusion.denoiser import Denoiser, Latents
from clavilux.runtime.diffusion.guider import Guider, unguided
from clavilux.runtime.diffusion.motion import TAPS, Motion, taps
from clavilux.runtime.diffusion.pipeline import Picture, PictureRequest
from clavilux.runtime.diffusion.schedule import RunStart
from clavilux.runtime.errors import ProviderError
from clavilux.runtime.providers.nvidia.io_binding import BoundRun, BoundSession, OrtValue
from clavilux.runtime.providers.nvidia.stream import CudaStream, Pinned
from clavilux.runtime.providers.session import Array

X0, NEXT = 0, 1  # results of the denoiser
BEGUN, DENOISED, DECODED = 0, 1, 2  # marks in the stream
UNGUIDED_STEP, NEGATIVE, ZEROS = -1, -2, -3  # places in pinned memory beside those of the steps, which count from 0
KEPT = 8  # pictures in pinned memory that viewers may hold at once: further ones are copied out of it


@dataclass
class _Canvas:
    """Buffers for one size, in runs of which each reads the results of the one before it where they are."""

    shape: tuple[int, ...]  # of the latents
    prompt: tuple[int, ...]
    warp: BoundRun
    start: BoundRun  # its latents are the last ones, moved or not
    denoise: BoundRun
    decode: BoundRun | None = None  # once the denoiser has run, and its latents have a place
    finished: bool = False  # whether its latents are those of a whole picture

    @property
    def latents(self) -> OrtValue:
        """The last step's sample."""
        return self.denoise.results[NEXT]


class DevicePipeline:
    """Makes pictures on a card, with four sessions that share its stream."""

    def __init__(
        self, denoiser: Denoiser, start: BoundSession, warp: BoundSession, first: BoundSession, decoder: BoundSession
    ) -> None:
        """`start` and `warp` are the sessions of `start.onnx` and `warp.onnx`, `first` the denoiser's own.

        Raises ProviderError when the sessions do not share a stream.
        """
        stream = first.stream
        others = [other.name for other in (start, warp, decoder) if stream is None or other.stream is not stream]
        if stream is None or others:
            raise ProviderError(f"{first.name} and {others[0]} do not share a stream")
        self.stages: dict[str, float] = {}
        self.delay = 0
        self.in_models = 0.0  # s of the last picture, from the first step's begin to the decoder's end, on the card
        self.canvases = 0  # sizes that buffers were made for, a size counted again when it comes back
        self.stream: CudaStream = stream
        self._denoiser = denoiser
        self._start = start
        self._warp = warp
        self._first = first
        self._decoder = decoder
        self._pictures = _Pictures(stream)
        self._staged: dict[tuple[str, int], Pinned] = {}
        self._canvas: _Canvas | None = None

    def run(self, request: PictureRequest) -> Picture:
        """Return a read-only RGB picture, uint8 [H, W, 3]. Raises ProviderError, KeyError."""
        since = time.perf_counter()
        canvas = self._canvas_for(request)
        has_last = canvas.finished
        start, rows = self._denoiser.plan(request.steps, request.feedback if has_last else 0.0, request.scale)
        canvas.finished = False
        self._begin(canvas, request, start)
        self.stream.mark(BEGUN)
        self._lead(canvas, rows[0], has_last=has_last and start.signal > 0)
        inputs = canvas.denoise.inputs
        self._upload(inputs, "tokens", 0, request.prompt)
        for step, row in enumerate(rows, start=1):
            if step > 1:
                self._move(inputs["sample"], canvas.latents, request.shape)
            if row[NEXT_FROM_NOISE]:
                self._upload(inputs, "noise", step, request.noise(step))
            self._upload(inputs, "coefficients", step, row[None])
            canvas.denoise.queue()
        self.stream.mark(DENOISED)
        picture = self._decode(canvas)
        canvas.finished = True
        self._note(time.perf_counter() - since)
        return picture

    def flush(self) -> None:
        """Do nothing: no picture is on its way between two calls."""

    def latents(self) -> Latents | None:
        """Return the last latents as a host array, float32 [1, C, h, w]; None before the first picture.

        The host waits for that. Raises ProviderError.
        """
        if self._canvas is None or not self._canvas.finished:
            return None
        found = self._place("latents", 0, self._canvas.shape, np.float32)
        self.stream.copy(found.address, self._canvas.latents.data_ptr(), found.array.nbytes)
        self.stream.wait()
        latents: Latents = found.array.copy()
        return latents

    def _canvas_for(self, request: PictureRequest) -> _Canvas:
        """Return the buffers for this size, made anew when the last picture had another one, or failed."""
        canvas = self._canvas
        sizes = request.shape, request.prompt.shape
        if canvas is not None and canvas.finished and (canvas.shape, canvas.prompt) == sizes:
            return canvas
        self._canvas = None
        if canvas is not None:
            if not canvas.finished:
                self.stream.wait()  # what the failed picture left in the queue reads and writes these buffers
            for run in filter(None, (canvas.warp, canvas.start, canvas.denoise, canvas.decode)):
                run.release()
        self._staged.clear()
        self._canvas = self._new_canvas(request)
        self.canvases += 1
        return self._canvas

    def _new_canvas(self, request: PictureRequest) -> _Canvas:
        shape, scale, found = request.shape, (1,), (TAPS * TAPS, *request.shape[2:])
        warp = self._warp.bind({"latents": shape, "places": found, "weights": found})
        self._upload(warp.inputs, "places", 0, np.zeros(found, np.int32))  # what lies there may be no place at all
        warp.queue()  # on nothing yet, so that its result has a place
        shapes = {"noise": shape, "noise_scale": scale, "latents": shape, "latents_scale": scale}
        start = self._start.bind(shapes, {"latents": warp.results[0]})
        start.queue()  # on nothing yet, as well
        given = {"sample": start.results[0], "noise": start.inputs["noise"]}
        denoise = self._first.bind(_shapes(request, self._denoiser.guider), given)
        return _Canvas(shape, request.prompt.shape, warp, start, denoise)

    def _begin(self, canvas: _Canvas, request: PictureRequest, start: RunStart) -> None:
        """Queue the first sample: noise, and what stays of the last latents."""
        inputs = canvas.start.inputs
        self._upload(inputs, "noise", 0, request.noise(0))
        self._upload(inputs, "noise_scale", 0, np.array([start.noise], np.float32))
        self._upload(inputs, "latents_scale", 0, np.array([start.signal], np.float32))
        if start.signal and request.moving:
            self._warp_last(canvas, request.moving)
        else:
            last = canvas.latents if start.signal else inputs["noise"]  # what nothing stays of must still be finite
            self._move(inputs["latents"], last, canvas.shape)
        canvas.start.queue()

    def _warp_last(self, canvas: _Canvas, motion: Motion) -> None:
        """Queue the last latents' motion, to where the first sample takes them from."""
        *_, height, width = canvas.shape
        inputs, found = canvas.warp.inputs, taps(height, width, motion)
        self._move(inputs["latents"], canvas.latents, canvas.shape)
        self._upload(inputs, "places", 0, found.places)
        self._upload(inputs, "weights", 0, found.weights)
        canvas.warp.queue()

    def _lead(self, canvas: _Canvas, row: NDArray[np.float32], *, has_last: bool) -> None:
        """Queue what the run is led away from, as `Denoiser.denoise` does it on the host."""
        guider, inputs = self._denoiser.guider, canvas.denoise.inputs
        if guider is None:
            return
        if guider.spec.kind == "classic":
            self._upload(inputs, "negative", NEGATIVE, guider.negative)
            return
        if has_last:
            self._move(inputs[GUIDANCE_X0], canvas.start.inputs["latents"], canvas.shape)
        else:
            self._upload(inputs, GUIDANCE_X0, ZEROS, np.zeros((), np.float32), canvas.shape)
        if guider.spec.kind == "once":
            self._upload(inputs, "tokens", NEGATIVE, guider.negative)
            self._upload(inputs, "coefficients", UNGUIDED_STEP, unguided(row)[None])
            canvas.denoise.queue()
            self._move(inputs[GUIDANCE_X0], canvas.denoise.results[X0], canvas.shape)

    def _decode(self, canvas: _Canvas) -> Picture:
        """Queue the decoder, and wait for its picture."""
        if canvas.decode is None:
            (name,) = self._decoder.inputs
            canvas.decode = self._decoder.bind({name: canvas.shape}, {name: canvas.latents})
        canvas.decode.queue()
        self.stream.mark(DECODED)
        (pictures,) = canvas.decode.results
        return self._pictures.fetch(pictures)

    def _note(self, seconds: float) -> None:
        """Book what the card says of the decoder there, and all else of the picture on the denoiser."""
        self.in_models = self.stream.seconds(BEGUN, DECODED)
        decode = min(self.stream.seconds(DENOISED, DECODED), seconds)
        self.stages = {"denoise": seconds - decode, "decode": decode}

    def _upload(
        self, inputs: Mapping[str, OrtValue], name: str, place: int, array: Array, shape: tuple[int, ...] | None = None
    ) -> None:
        """Queue `array`, spread over `shape`, as the input `name`."""
        staged = self._place(name, place, array.shape if shape is None else shape, array.dtype.type)
        staged.array[...] = array
        self.stream.copy(inputs[name].data_ptr(), staged.address, staged.array.nbytes)

    def _move(self, target: OrtValue, source: OrtValue, shape: tuple[int, ...]) -> None:
        self.stream.copy(target.data_ptr(), source.data_ptr(), int(np.prod(shape)) * np.dtype(np.float32).itemsize)

    def _place(self, name: str, place: int, shape: tuple[int, ...], dtype: type[np.generic]) -> Pinned:
        """Return pinned memory that nothing else of this picture is staged in."""
        if (name, place) not in self._staged:
            self._staged[name, place] = self.stream.pinned(shape, dtype)
        return self._staged[name, place]


class _Pictures:
    """Pinned memory for pictures: it belongs to whoever holds the picture, and comes back when nobody does."""

    def __init__(self, stream: CudaStream) -> None:
        self._stream = stream
        self._free: list[Pinned] = []
        self._returned: deque[Pinned] = deque()  # by whichever thread let a picture go
        self._out = 0  # in hands that had not let go when it was last looked at

    def fetch(self, pictures: OrtValue) -> Picture:
        """Queue the reading of pictures [1, H, W, 3], wait, and return the first one, read-only."""
        shape = tuple(pictures.shape())
        memory = self._take(int(np.prod(shape)))
        self._stream.copy(memory.address, pictures.data_ptr(), memory.array.nbytes)
        self._stream.wait()
        whole = self._give_out(memory) if self._out < KEPT else self._copy_out(memory)
        picture: Picture = whole.reshape(shape)[0]
        picture.flags.writeable = False
        return picture

    def _take(self, count: int) -> Pinned:
        while self._returned:
            self._free.append(self._returned.popleft())
            self._out -= 1
        self._free = [memory for memory in self._free if memory.array.nbytes == count]
        return self._free.pop() if self._free else self._stream.pinned((count,), np.uint8)

    def _give_out(self, memory: Pinned) -> Picture:
        """Return an array over this memory, which every view of it keeps alive."""
        whole = np.frombuffer(memory.memory, np.uint8)
        weakref.finalize(whole, self._returned.append, memory).atexit = False
        self._out += 1
        return whole

    def _copy_out(self, memory: Pinned) -> Picture:
        whole: Picture = memory.array.copy()
        self._free.append(memory)
        return whole


def _shapes(request: PictureRequest, guider: Guider | None) -> Mapping[str, tuple[int, ...]]:
    """Return the shapes of the denoiser's inputs."""
    columns = COEFFICIENTS if guider is None else GUIDED_COEFFICIENTS
    latents, prompt = request.shape, request.prompt.shape
    plain = {"sample": latents, "noise": latents, "tokens": prompt, "coefficients": (1, columns)}
    if guider is None:
        return plain
    if guider.spec.kind == "classic":
        return plain | {"negative": guider.negative.shape}
    return plain | {GUIDANCE_X0: latents}
