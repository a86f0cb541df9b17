#!/bin/sh
# install.sh PYTHON VENV LOCK: creates VENV and installs exactly LOCK and this project into it.
#
# --no-deps because the lock is complete, and because pip would otherwise add the CUDA builds of
# torchvision, torchaudio, torchcodec and triton that break `import transformers` on a CPU torch.
set -eu
python=$1 venv=$2 lock=$3

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "tsalign needs Python 3.11 or later; point PYTHON at one: make align PYTHON=python3.12" >&2
    exit 2
}
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
echo "Installing $lock into $venv (about 3 GB for CPU, 10 GB for CUDA; a few minutes) ..."
"$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps -r "$lock" || {
    echo "Installing $lock failed, see above." >&2
    echo "If torch==2.13.0+cpu was not found: it is on PyTorch's own CPU wheel index;" >&2
    echo "put that address into PIP_EXTRA_INDEX_URL and run make again." >&2
    exit 2
}
"$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
"$venv/bin/python" -c 'import torch, transformers, trl, peft, prefect' || {
    echo "The installed packages do not import; run 'make clean' and try again." >&2
    exit 2
}
