"""Log-mel features for training: kaldi frames per clip, and the normalised windows that the encoder hears.

The frames are those of SeamlessM4TFeatureExtractor; normalisation and stacking are those inside `audio_encoder.onnx`.
"""

import kaldi_native_fbank as knf
import numpy as np
import torch
from numpy.typing import NDArray

from clavilux.runtime.sound.format import SAMPLE_RATE

MEL_BINS = 80
FRAME_SAMPLES = 400  # 25 ms
HOP_SAMPLES = 160  # 10 ms
STRIDE = 2  # mel frames stacked into one input of the encoder
WINDOW_SAMPLES = 32_000  # 2 s: the window of the default bundle
WINDOW_FRAMES = 1 + (WINDOW_SAMPLES - FRAME_SAMPLES) // HOP_SAMPLES  # whole frames in a window
PADDED_FRAMES = WINDOW_SAMPLES // HOP_SAMPLES  # an even length, as the graph pads to
INT16_SCALE = 32768.0  # the extractor multiplies waveforms by 2^15
VARIANCE_FLOOR = 1e-7  # added to each bin's variance, as the extractor does
SILENCE = float(np.log(np.finfo(np.float32).eps))  # the log-mel value of digital silence


def log_mel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the natural-log mel frames [frames, 80] of 16 kHz mono samples in -1..1."""
    options = knf.FbankOptions()
    options.frame_opts.samp_freq = SAMPLE_RATE
    options.frame_opts.dither = 0.0
    options.frame_opts.snip_edges = True
    options.frame_opts.window_type = "povey"
    options.frame_opts.preemph_coeff = 0.97
    options.frame_opts.remove_dc_offset = True
    options.mel_opts.num_bins = MEL_BINS
    options.mel_opts.low_freq = 20.0
    options.mel_opts.high_freq = 8000.0
    options.use_energy = False
    bank = knf.OnlineFbank(options)
    bank.accept_waveform(SAMPLE_RATE, (samples * INT16_SCALE).tolist())
    bank.input_finished()
    frames = [bank.get_frame(i) for i in range(bank.num_frames_ready)]
    return np.stack(frames).astype(np.float32) if frames else np.zeros((0, MEL_BINS), np.float32)


def normalised(frames: torch.Tensor) -> torch.Tensor:
    """Return windows [batch, frames, 80] with mean 0 and variance 1 per window and bin (variance with n - 1)."""
    mean = frames.mean(dim=1, keepdim=True)
    variance = frames.var(dim=1, keepdim=True)
    return (frames - mean) / torch.sqrt(variance + VARIANCE_FLOOR)


def stacked(frames: torch.Tensor, padded: int = PADDED_FRAMES) -> torch.Tensor:
    """Return encoder inputs [batch, padded / 2, 160]: normalised, then padded with zeros, then two by two."""
    clean = normalised(frames)
    clean = torch.nn.functional.pad(clean, (0, 0, 0, padded - clean.shape[1]))
    return clean.reshape(clean.shape[0], padded // STRIDE, MEL_BINS * STRIDE)


def windows(samples: NDArray[np.float32], offsets: list[int]) -> torch.Tensor:
    """Return mel windows [len(offsets), WINDOW_FRAMES, 80] ending `offset` samples after the sound's end.

    Outside the sound there is digital silence, as in a ring buffer that has just been started.
    """
    before = WINDOW_SAMPLES + max(0, -min(offsets))
    padded = np.pad(samples, (before, max(0, max(offsets))))
    ends = [before + len(samples) + offset for offset in offsets]
    return torch.from_numpy(np.stack([log_mel(padded[end - WINDOW_SAMPLES : end]) for end in ends]))
