#!/usr/bin/env bash
# Make a virtual environment with exactly the packages of a list, and this project in it.
#
# Usage: local_test/make_venv.sh [--editable] DIR LIST
#   --editable   the environment uses the project's files where they lie; else it gets a copy
#   DIR          folder of the environment: a new one, or an environment, which is made anew
#                unless it fits
#   LIST         list of packages with versions and hashes, such as requirements.txt
#   -h           print this text
#
# Nothing is done when DIR already holds this. PYTHON names the Python to use; without it the
# newest of 3.13, 3.12 and 3.11 on PATH is taken.
set -euo pipefail

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "$0"; }
fail() {
  echo "make_venv.sh: $*" >&2
  exit 1
}

# Each of these prints a reason and the remedy, and ends the script.

# A name on PATH proves nothing: pyenv puts stand-ins there for versions that are not installed,
# and Debian's python3 comes without ensurepip. So each candidate has to run. The answer is the
# Python below an active virtual environment, which may be the very one that is made anew.
find_python() {
  local name candidates="python3.13 python3.12 python3.11 python3" incomplete=
  [ -z "${PYTHON:-}" ] || candidates=$PYTHON
  for name in $candidates; do
    "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || continue
    "$name" -c 'import ensurepip, sys, venv; print(sys._base_executable)' 2>/dev/null && return
    incomplete=$name
  done
  [ -z "$incomplete" ] || fail "$incomplete lacks the modules venv and ensurepip.
  Debian, Ubuntu: sudo apt-get install python3-venv"
  fail "Python 3.11, 3.12 or 3.13 is missing (tried: $candidates).
  Debian, Ubuntu: sudo apt-get install python3 python3-venv python3-dev
  macOS: brew install python@3.13
  Elsewhere: name one by PYTHON=/path/to/python3.13"
}

check_compiler() {
  command -v cc >/dev/null || command -v gcc >/dev/null ||
    fail "a C compiler is missing; sagemaker-training, which comes as source, needs one.
  Debian, Ubuntu: sudo apt-get install gcc libc6-dev
  macOS: xcode-select --install"
  "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' ||
    fail "$python comes without its header Python.h; sagemaker-training, which comes as source, needs it.
  Debian, Ubuntu: sudo apt-get install python3-dev"
}

# One hash over the Python, the words before "--", and all that the files and folders after it hold.
fingerprint() {
  "$python" - "$@" <<'PYTHON'
import hashlib, pathlib, sys

words, paths = sys.argv[1 : sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1 :]
digest = hashlib.sha256(repr([sys.version, sys.executable, words]).encode())
for path in map(pathlib.Path, paths):
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    for file in files:
        if file.is_file() and "__pycache__" not in file.parts and ".egg-info" not in str(file):
            digest.update(f"{file}\0".encode() + file.read_bytes())
print(digest.hexdigest())
PYTHON
}

# Run a command silently, say how long it took, and show its output only when it fails. In such a
# command bash ignores "set -e", so the functions below chain what they do by &&.
step() {
  local name=$1 start=$SECONDS
  shift
  "$@" >"$scratch/log" 2>&1 || {
    cat "$scratch/log" >&2
    fail "failed: $name"
  }
  echo "$name: $((SECONDS - start)) s"
}

make_environment() {
  "$python" -m venv --clear "$dir" &&
    "$dir/bin/python" -m pip install --require-hashes -r requirements-build.txt
}

# --require-hashes: a file that is not the one that was locked is refused.
# --build-constraints: what comes as source is built by the locked tools.
# --compile-bytecode: the first start is as fast as the second.
install_packages() {
  tell_uv_about_pip &&
    "$dir/bin/uv" pip install --python "$dir/bin/python" --require-hashes --compile-bytecode \
      --build-constraints requirements-build.txt -r "$list"
}

# uv reads no settings of pip's, so it gets the index and the certificates that pip was given.
tell_uv_about_pip() {
  local index=${PIP_INDEX_URL:-} certificates=${PIP_CERT:-}
  [ -n "$index" ] || index=$("$dir/bin/python" -m pip config get global.index-url 2>/dev/null || true)
  [ -n "$certificates" ] || certificates=$("$dir/bin/python" -m pip config get global.cert 2>/dev/null || true)
  [ -z "$index" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"
  [ -z "$certificates" ] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$certificates}"
}

# --no-deps: the list has them all. --no-build-isolation: the build tools are there already, so
# that a changed project is installed without a network.
install_project() {
  local options=(--python "$dir/bin/python" --no-deps --no-build-isolation --compile-bytecode)
  if [ -n "$editable" ]; then
    "$dir/bin/uv" pip install "${options[@]}" --editable .
  else
    # From a copy, because a build leaves folders behind, and takes deleted modules from them.
    mkdir "$scratch/project" &&
      cp -R pyproject.toml README.md LICENSE container "$scratch/project" &&
      rm -rf "$scratch"/project/container/*.egg-info &&
      "$dir/bin/uv" pip install "${options[@]}" --reinstall "$scratch/project"
  fi
}

editable=
case "${1:-}" in
  -h | --help)
    usage
    exit 0
    ;;
  --editable)
    editable=yes
    shift
    ;;
esac
[ $# = 2 ] || {
  usage >&2
  exit 2
}
[ -r "$2" ] || fail "there is no list $2"
list=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
python=$(find_python)
mkdir -p "$1"
dir=$(cd "$1" && pwd)
[ -e "$dir/pyvenv.cfg" ] || [ -z "$(ls -A "$dir")" ] ||
  fail "$dir holds something else than a virtual environment: name another folder"
cd "$(dirname "$0")/.."

# With it set, Python and uv leave out the bytecode, and each start compiles anew.
unset PYTHONDONTWRITEBYTECODE
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# A stamp is the last thing that its part writes, so what was interrupted has none.
packages=$(fingerprint "$dir" -- "$list" requirements-build.txt)
if [ "$(cat "$dir/.packages" 2>/dev/null)" != "$packages" ]; then
  ! grep -q '^sagemaker-training==' "$list" || check_compiler
  step "Made a virtual environment in $dir" make_environment
  step "Installed the packages of $list" install_packages
  echo "$packages" >"$dir/.packages"
fi

if [ -n "$editable" ]; then
  project=$(fingerprint editable "$PWD" -- pyproject.toml)
else
  project=$(fingerprint copy -- pyproject.toml README.md LICENSE container)
fi
if [ "$(cat "$dir/.project" 2>/dev/null)" != "$project" ]; then
  rm -f "$dir/.project"
  step "Installed the project" install_project
  echo "$project" >"$dir/.project"
fi
