"""The format of sound inside the instrument: 16 kHz mono samples, and the grid of log-mel frames over them."""

import math

SAMPLE_RATE = 16_000  # Hz; what Wav2Vec2-BERT was trained on
MEL_BINS = 80
FRAME_STEP = 160  # samples between two log-mel frames: 10 ms
FRAME_LENGTH = 400  # samples under one log-mel frame: 25 ms
BLOCK_RATE = 100  # blocks a second that a source is worked on in: sums depend on how many numbers they have
STEP_SECONDS = FRAME_STEP / SAMPLE_RATE  # hops are whole log-mel frames


def step_share(constant: float) -> float:
    """Return the share of a new step of `STEP_SECONDS` in what is smoothed with a time constant of so many seconds."""
    return 1 - math.exp(-STEP_SECONDS / constant)


def frame_count(samples: int) -> int:
    """Return how many whole frames lie in `samples` samples at 16 kHz."""
    return max(0, 1 + (samples - FRAME_LENGTH) // FRAME_STEP)
