"""Names and numbers of a bundle's graphs: the contract between the export, which writes them, and the runtime."""

AUDIO_ENCODER = "audio_encoder.onnx"
DENOISER = "denoiser.onnx"
DECODER = "decoder.onnx"
IMAGE_ENCODER = "encoder_image.onnx"
TEXT_ENCODER = "text_encoder.onnx"
TOKENIZER = "tokenizer.json"

PARTS = {"encoder": AUDIO_ENCODER, "denoiser": DENOISER, "decoder": DECODER}
"""The parts of a bundle that are played, and their graphs."""

FRAMES = "frames"  # open axis of the encoder's graph: log-mel frames
MIN_FRAMES = 2  # log-mel frames that the encoder can normalise over: 35 ms of sound

COEFFICIENTS = 6
"""Columns of `coefficients`: timestep, x0 from sample, x0 from output, next from x0, from sample, from noise."""

NEXT_FROM_NOISE = 5  # which of these columns scales the noise that enters the next sample

GUIDED_COEFFICIENTS = 9
"""The same, and behind them what makes the guided x0: from x0, from the negative's x0, from sample."""

GUIDANCE_X0 = "anchor"  # input of graphs guided `once` or by `self`: the x0 that a run is led away from
