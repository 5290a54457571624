#!/usr/bin/env bash
# Everything to learn about Clavilux on an NVIDIA card, with one JSON and one table at the end:
#     bash benchmarks/on_card/run.sh [--large BUNDLE] [--out FOLDER] [--seconds N] [--only A,B]
# It runs with the python of .venv, $PYTHON or python3, which has `pip install -e '.[gpu]'`, and torch and diffusers for
# PyTorch's figures. On a machine without network, what `python -m clavilux.benchmarks.on_card.pack` left in .card is used.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
python=${PYTHON:-python3}
[ -n "${PYTHON:-}" ] || [ ! -x .venv/bin/python ] || python=.venv/bin/python
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1 CUDA_MODULE_LOADING=LAZY
packed=()
if [ -e .card/site.tar.xz ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    for archive in .card/*.tar.xz; do "$python" -m tarfile -e "$archive" "$work"; done
    # torch's wheels of CUDA and cuDNN, where ONNX Runtime looks for them: beside itself
    if nvidia=$("$python" -c 'import nvidia; print(list(nvidia.__path__)[0])' 2>/dev/null); then
        ln -sfn "$nvidia" "$work/site/nvidia"
        export LD_LIBRARY_PATH=$nvidia/cu13/lib:$nvidia/cudnn/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    fi
    export PYTHONPATH=$PYTHONPATH:$work/site
    packed=(--skeletons "$work/skeletons")
fi
"$python" -m clavilux.benchmarks.on_card.run "${packed[@]}" "$@"
