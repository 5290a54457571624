"""Schedule: samplers as rows of numbers, all that a denoising step needs besides its tensors.

Every sampler is written in variance-preserving scale, sample = sqrt(a) x0 + sqrt(1 - a) noise with a = alpha_cumprod,
and there every one is linear in (x0, sample, noise). Euler (Karras et al. 2022, arXiv:2206.00364, algorithm 1 without
churn) and DDIM (Song et al. 2020, arXiv:2010.02502, eq. 12 with eta 0) are then the same step; LCM (Luo et al. 2023,
arXiv:2310.04378, algorithm 3) draws new noise instead of keeping the old.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.bundle.manifest import ScheduleSpec

LCM_SIGMA_DATA = 0.5  # of the boundary condition, arXiv:2310.04378, section 4.1
LCM_TIMESTEP_SCALING = 10.0
MIN_ALPHA = 2.0**-24  # keeps sigma finite for schedules that end at zero signal, as diffusers' Euler does


@dataclass(frozen=True)
class RunStart:
    """Start of a run: sample = signal * last latents + noise * N(0, 1)."""

    signal: float
    noise: float


@dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance as a combination of x0 with a negative x0.

    In noise it reads delta n + scale (p - delta n), n the negative's noise and p the prompt's: Ho and Salimans 2022,
    arXiv:2207.12598, eq. 6, with their w = scale - 1 and delta = 1; Kodaira et al. 2023, arXiv:2312.12491, section 3.2.
    """

    scale: float
    delta: float = 1.0


class Schedule:
    """The steps of a scheduler whose numbers the manifest holds."""

    def __init__(self, spec: ScheduleSpec) -> None:
        self.spec = spec
        alphas = np.maximum(np.asarray(spec.alphas_cumprod), MIN_ALPHA)
        self._sigmas = np.sqrt((1 - alphas) / alphas)

    def start(self, steps: int, feedback: float = 0.0) -> RunStart:
        """Return how a run of `steps` steps begins that keeps `feedback` (0 to 1, 1 excluded) of the last latents."""
        if feedback == 0:
            return RunStart(signal=0.0, noise=self.spec.initial_noise)
        alpha = self.alpha(self.spec.timesteps[steps][0] * (1 - feedback))
        return RunStart(signal=alpha**0.5, noise=(1 - alpha) ** 0.5)

    def rows(self, steps: int, feedback: float = 0.0, guidance: Guidance | None = None) -> NDArray[np.float32]:
        """Return the graph's coefficients, float32 [steps, 6], or [steps, 9] with `guidance`.

        Columns: timestep, x0 from sample, x0 from output, next from x0, next from sample, next from noise; guided x0
        from x0, from the negative x0, from sample. Feedback shortens the run as `strength` = 1 - feedback does in
        diffusers' image-to-image, but without rounding to whole steps, so that it works with one step and changes
        smoothly.
        """
        times = [time * (1 - feedback) for time in self.spec.timesteps[steps]]
        alphas = [self.alpha(time) for time in times] + [self.spec.final_alpha]
        last = len(times) - 1
        return np.array(
            [
                [
                    time,
                    *self._x0(alphas[i]),
                    *self._next(time, alphas[i], alphas[i + 1], is_last=i == last),
                    *(_guided(alphas[i], guidance) if guidance else ()),
                ]
                for i, time in enumerate(times)
            ],
            np.float32,
        )

    def alpha(self, timestep: float) -> float:
        """Return alpha_cumprod at `timestep`; between whole timesteps sigma is interpolated, as Euler does."""
        sigma = float(np.interp(timestep, np.arange(len(self._sigmas)), self._sigmas))
        return 1 / (1 + sigma**2)

    def _x0(self, alpha: float) -> tuple[float, float]:
        """x0 = first * sample + second * output."""
        if self.spec.prediction == "epsilon":
            return alpha**-0.5, -(((1 - alpha) / alpha) ** 0.5)
        if self.spec.prediction == "v_prediction":
            return alpha**0.5, -((1 - alpha) ** 0.5)
        return 0.0, 1.0

    def _next(self, time: float, alpha: float, after: float, *, is_last: bool) -> tuple[float, float, float]:
        """Next sample = first * x0 + second * sample + third * noise."""
        if self.spec.kind == "lcm":
            scaled = time * LCM_TIMESTEP_SCALING
            skip = LCM_SIGMA_DATA**2 / (scaled**2 + LCM_SIGMA_DATA**2)
            out = scaled / (scaled**2 + LCM_SIGMA_DATA**2) ** 0.5
            signal, noise = (1.0, 0.0) if is_last else (after**0.5, (1 - after) ** 0.5)
            return signal * out, signal * skip, noise
        kept = ((1 - after) / (1 - alpha)) ** 0.5
        return after**0.5 - kept * alpha**0.5, kept, 0.0


def _guided(alpha: float, guidance: Guidance) -> tuple[float, float, float]:
    """Guided x0 = first * x0 + second * negative x0 + third * sample."""
    negative = guidance.delta * (1 - guidance.scale)
    return guidance.scale, negative, (1 - guidance.scale - negative) / alpha**0.5
