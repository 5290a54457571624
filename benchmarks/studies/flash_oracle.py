"""Oracle's own python: EA's IRIS, as PyPI's iris-pse-detection, on pictures that `flashes` wrote.

    PYTHON flash_oracle.py PICTURES.npy RATE          # PICTURES: uint8 RGB [frames, H, W, 3], RATE: frames a second

Prints one line of JSON: "verdict" (Pass, PassWithWarning, ExtendedFail or FlashFail, the worst of all frames), and
"luminance" and "red", the most transitions in a second of each; two are a flash.
"""

import json
import sys

import numpy as np
from iris_pse_detection.configuration import Configuration  # type: ignore[import-not-found]
from iris_pse_detection.flash_detection import FlashDetection  # type: ignore[import-not-found]
from iris_pse_detection.result import FlashResult  # type: ignore[import-not-found]


def main(file: str, rate: str) -> None:
    """Judge a sequence frame by frame."""
    pictures = np.load(file)
    oracle = FlashDetection(int(rate), pictures.shape[1:3], Configuration())
    frames = []
    for i, picture in enumerate(pictures):
        oracle.set_current_frame(np.ascontiguousarray(picture[..., ::-1]))
        frames.append(oracle.analyse_frame(i))
    worst = max(max(frame.luminance_frame_result, frame.red_frame_result) for frame in frames)
    most = {
        "luminance": max(frame.luminance_transitions for frame in frames),
        "red": max(frame.red_transitions for frame in frames),
    }
    print(json.dumps({"verdict": FlashResult(worst).name, **most}))


if __name__ == "__main__":
    main(*sys.argv[1:])
