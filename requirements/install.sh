#!/bin/sh
# install.sh PYTHON VENV LOCK: creates VENV and installs exactly LOCK and this project into it.
#
# --no-deps because the lock is complete, and because pip would otherwise add the CUDA builds of
# torchvision, torchaudio, torchcodec and triton that break `import transformers` on a CPU torch.
#
# What pip says is in VENV/install.log; here one short line tells how far it is, renewed in place on
# a terminal, every half minute in a pipe.
set -eu
python=$1 venv=$2 lock=$3

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "tsalign needs Python 3.11 or later; point PYTHON at one: make align PYTHON=python3.12" >&2
    exit 2
}
log=$venv/install.log
packages=$(grep -c '^[A-Za-z0-9]' "$lock")
mkdir -p "$venv"
: > "$log"

counted() { # FILES... : how many there are
    [ -e "$1" ] && echo $# || echo 0
}

# far: how far pip is, by its log and by what lies in the environment.
far() {
    collected=$(grep -cE '^(Collecting|Processing|Requirement already) ' "$log" || true)
    installed=$(counted "$venv"/lib/python*/site-packages/*.dist-info)
    [ "$installed" -le "$packages" ] || installed=$packages
    if grep -q '^Installing collected packages' "$log"; then
        echo "installing, $installed of $packages packages"
    else
        echo "downloading, $collected of $packages packages"
    fi
}

# report STARTED [WHAT]: a line of progress.
report() {
    text=${2:-$(far)} spent=$(($(date +%s) - $1))
    if [ -t 1 ]; then
        printf '\r  %-50s %4d s ' "$text" "$spent"
    else
        echo "  $text, $spent s"
    fi
}

# quietly WHAT COMMAND...: run it with its output in the log, and say what it is at; without WHAT,
# how far pip is.
quietly() {
    what=$1 began=$(date +%s) told=$(date +%s)
    shift
    "$@" >> "$log" 2>&1 &
    pid=$!
    trap 'kill "$pid" 2>/dev/null; exit 130' INT TERM
    while kill -0 "$pid" 2>/dev/null; do
        if [ -t 1 ]; then
            report "$began" "$what"
        elif [ $(($(date +%s) - told)) -ge 30 ]; then
            told=$(date +%s)
            report "$began" "$what"
        fi
        sleep 1
    done
    trap - INT TERM
    [ ! -t 1 ] || printf '\r%70s\r' ''
    wait "$pid"
}

echo "Installing $packages packages of $lock into $venv."
echo "That takes a few minutes and 3 GB (CUDA: 10 GB). pip's log: $log"
[ -x "$venv/bin/python" ] || quietly "making the environment" "$python" -m venv "$venv" || {
    tail -n 5 "$log" >&2
    echo "'$python -m venv $venv' failed; all of it is in $log." >&2
    exit 2
}
quietly "" "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --no-color \
    --progress-bar off --no-deps -r "$lock" || {
    tail -n 5 "$log" >&2
    echo "Installing $lock failed; all of it is in $log." >&2
    if grep -q 'No matching distribution found for torch' "$log"; then
        echo "If torch==2.13.0+cpu was not found: it is on PyTorch's own CPU wheel index;" >&2
        echo "put that address into PIP_EXTRA_INDEX_URL and run make again." >&2
    fi
    exit 2
}
quietly "installing tsalign" "$venv/bin/python" -m pip install --disable-pip-version-check \
    --no-input --no-color --progress-bar off --no-deps --no-build-isolation -e . || {
    tail -n 5 "$log" >&2
    echo "Installing this project failed; all of it is in $log." >&2
    exit 2
}
quietly "trying the imports" "$venv/bin/python" -c 'import torch, transformers, trl, peft, prefect' || {
    tail -n 5 "$log" >&2
    echo "The installed packages do not import; run 'make clean' and try again." >&2
    exit 2
}
echo "Installed."
