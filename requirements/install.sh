#!/usr/bin/env bash
# Makes .venv from the lock that fits this machine, with uv where there is one, else with pip, each file checked by its
# hash; does nothing when it is there and current.
#   install.sh ray         adds what is in requirements/ray.txt, for launcher=ray and its tests
#   install.sh doctor      prints what this machine has and lacks (store/doctor.py), and installs nothing
#   ACCELERATOR=cpu|cuda   overrides nvidia-smi; without it the choice made first is kept (.venv/.accelerator)
#   UNTESTED=1             goes on where the locks were resolved and nothing was run: docs/machines.md
#   PYTHON=<interpreter>   overrides the search for python3.11, python3.12 and python3
# Exits with 2 and one sentence when the machine lacks something. An interrupted installation is done again: the
# stamp .venv/.installed, the accelerator and the lock's sha256, is written last; so is .venv/.with-ray, for Ray's lock.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset PYTHONPATH PYTHONSAFEPATH PYTHONHOME # of other programs; this folder's modules are found by it being the current one

# PyTorch's own index of CPU builds, asked for torch alone, and only where pip's own sources lack the +cpu build.
readonly TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu
# GiB on disk: the environment (CPU: 4.1) and the wheels that pip keeps meanwhile (CPU: 1).
declare -rA NEED_GIB=([cpu]=6 [cuda]=25)

fail() {
    echo "setup: $1" >&2
    exit 2
}

accelerator() {
    if [[ -n ${ACCELERATOR:-} ]]; then
        echo "$ACCELERATOR"
    elif [[ -f .venv/.accelerator ]]; then
        cat .venv/.accelerator
    elif nvidia-smi --list-gpus 2>/dev/null | grep -q .; then
        echo cuda
    else
        echo cpu
    fi
}

installed() { [[ -x .venv/bin/python && -f .venv/.installed && $(<.venv/.installed) == "$stamp" ]]; }
with_ray() { [[ -f .venv/.with-ray && $(<.venv/.with-ray) == "$(sha256sum <requirements/ray.txt)" ]]; }
one_at_a_time() { exec 9<requirements && flock 9; } # two terminals: one installs, the other waits and finds it done

find_python() {
    local candidates=(python3.11 python3.12 python3) candidate version found="" without_venv=""
    [[ -z ${PYTHON:-} ]] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
        if [[ $version != 3.11 && $version != 3.12 ]]; then
            found+=" $candidate is $version;"
        elif "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            echo "$candidate"
            return
        else
            without_venv=$version
        fi
    done
    [[ -z $without_venv ]] || fail "Python $without_venv lacks venv; install it, e.g. apt-get install python$without_venv-venv"
    fail "Python 3.11 or 3.12 is needed;${found:- no python3 was found;} install one, e.g. apt-get install python3.11 python3.11-venv, or name one with PYTHON=<path>"
}

check_machine() {
    [[ $machine == "Linux x86_64" || -n ${UNTESTED:-} ]] ||
        fail "$lock was resolved for $machine and nothing was run on one; UNTESTED=1 goes on, see docs/machines.md"
    [[ $PWD != *[[:space:]]* ]] || fail "the path '$PWD' has a space, which compilers take for two paths; move this folder to one without"
    local lacking free_gib
    [[ $machine == Darwin* ]] || lacking=$("$python" -m store.prerequisites "$accelerator") || fail "$lacking"
    free_gib=$(($(df --output=avail --block-size=1M . | tail -n 1) / 1024))
    ((free_gib >= NEED_GIB[$accelerator])) ||
        fail "$PWD has $free_gib GiB free and the $accelerator environment needs ${NEED_GIB[$accelerator]} GiB"
}

pip_install() {
    local install=(.venv/bin/python -m pip install --no-compile --no-input --disable-pip-version-check --retries 2)
    ! type uv >/dev/null 2>&1 || install=(uv pip install --python .venv/bin/python)
    "${install[@]}" --no-deps --require-hashes "$@" 2>&1 |
        tee -a "$log" | awk -v terminal="$([[ -t 1 ]] && echo 1)" \
        'terminal && /^Collecting/ { printf "\r\033[K%s", $0; fflush() } END { if (terminal) printf "\r\033[K" }'
}

fail_install() {
    local error missing changed
    error=$(grep -E '^(ERROR|error|  cause):|^  (×|╰─▶)' "$log" | tail -n 1 || true)
    if [[ $error == *"MATCH THE HASHES"* || $error == *"Hash mismatch"* ]]; then
        changed=$(sed -nE '/MATCH THE HASHES/{n;s/^ *([^ ]+) .*/\1/p;};s/.*Hash mismatch for `([^`]+)`.*/\1/p' "$log" | tail -n 1)
        fail "$changed came with another sha256 than the lock has, so a download broke or an index serves another file (all it said: $log); run this again, or with another index"
    fi
    missing=${error#ERROR: No matching distribution found for }
    [[ $missing == "$error" ]] || fail "pip could not get $missing; is the network up? (all it said: $log) Then run this again"
    fail "the installer stopped at '$error' (all it said: $log); fix that and run this again"
}

compile_all() { # on all cores, which pip does not; some packages ship templates that are no Python: no verdict
    .venv/bin/python -m compileall -q -j 0 -x /tests/ .venv/lib >/dev/null 2>&1 || true
}

install_lock() {
    echo "setup: installing $(grep -c == "$lock") packages from $lock into .venv with $("$python" --version) ..."
    rm -f .venv/.installed
    "$python" -m venv --clear .venv
    sed -n '/^torch==.*+cpu/,/[^\\]$/p' "$lock" >"$torch"
    if [[ -s $torch ]] && ! pip_install --requirement "$torch"; then
        UV_HTTP_TIMEOUT=15 PIP_DEFAULT_TIMEOUT=15 pip_install --index-url "$TORCH_CPU_INDEX" --requirement "$torch" || fail_install
    fi
    pip_install --requirement "$lock" || fail_install
    compile_all
    # For pip install -c: of a file with hashes it would ask hashes of what it adds too. MLflow wants an older cachetools,
    # and vLLM takes any.
    sed -nE '/^cachetools==/d; s/^([a-z0-9][^ ]*==[^ ]+).*/\1/p' "$lock" >.venv/pins.txt
    echo "$accelerator" >.venv/.accelerator
    echo "$stamp" >.venv/.installed
    echo "setup: done in $SECONDS seconds"
}

add_ray() {
    echo "setup: adding Ray to .venv ..."
    pip_install --requirement requirements/ray.txt || fail_install
    compile_all
    sha256sum <requirements/ray.txt >.venv/.with-ray
}

(($# == 0)) || [[ $* == ray || $* == doctor ]] || fail "'$*' was given; ray, doctor or nothing was expected"
accelerator=$(accelerator)
[[ -v NEED_GIB[$accelerator] ]] || fail "ACCELERATOR=$accelerator is unknown; use cpu or cuda"
machine=$(uname -sm)
case "$machine $accelerator" in
    "Linux x86_64 "* | "Linux aarch64 cuda") lock=requirements/$accelerator.txt ;;
    "Linux aarch64 cpu") lock=requirements/cpu-linux-aarch64.txt ;; # without vLLM: engine=transformers
    "Darwin arm64 cpu") lock=requirements/cpu-darwin-arm64.txt ;;   # likewise
    *) fail "there are locks for Linux on x86_64 and aarch64 and for macOS on arm64 without a GPU, and this is $machine with $accelerator" ;;
esac
log=.venv/install.log
torch=.venv/torch.txt # the +cpu build alone, cut out of the lock
stamp="$accelerator $(sha256sum <"$lock")"
if [[ $* == doctor ]]; then
    python=.venv/bin/python
    [[ -x $python ]] || python=$(find_python)
    exec "$python" -m store.doctor "$accelerator"
fi
if ! installed; then
    one_at_a_time
    if ! installed; then
        [[ ! -L .venv ]] || fail ".venv is a link to $(readlink .venv), whose packages are not those of $lock; remove the link (rm .venv) and run this again"
        python=$(find_python)
        check_machine
        install_lock
    fi
fi
if [[ $* == ray ]] && ! with_ray; then
    one_at_a_time
    with_ray || add_ray
fi
