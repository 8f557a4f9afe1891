#!/usr/bin/env bash
# Set up all that the tests need, and run lint, types and tests. Every check runs, also when one
# before it failed; the exit code is 0 only when all passed.
#
# Usage: tests/run.sh [PYTEST ARGS]
#   PYTEST ARGS   run pytest alone, with these: tests/run.sh tests/container -k png
#   -h            print this text
#
# The environment is .venv in the project's folder; .venv-deploy beside it holds SageMaker's SDK.
# PYTHON names the Python to make them with.
# Image tests run when a Docker engine answers; pytest says so when it skips them.
set -euo pipefail

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "$0"; }

case "${1:-}" in -h | --help)
  usage
  exit 0
  ;;
esac
cd "$(dirname "$0")/.."

local_test/make_venv.sh --editable .venv tests/requirements.txt
export PATH="$PWD/.venv/bin:$PATH"

# SageMaker's SDK wants an older protobuf than the image has, so it lives apart.
uv venv --quiet --allow-existing --python .venv/bin/python .venv-deploy
uv pip sync --quiet --require-hashes --python .venv-deploy/bin/python deploy/requirements.txt

[ $# = 0 ] || exec pytest "$@"

summary=
failed=0
check() {
  local name=$1 start=$SECONDS result=passed
  shift
  printf '\n== %s: %s\n' "$name" "$*"
  "$@" || {
    result=FAILED
    failed=1
  }
  summary+="$(printf '%-8s %4d s  %s' "$result" $((SECONDS - start)) "$name")"$'\n'
}

check lint ruff check .
check format ruff format --check .
check types mypy
check imports lint-imports
# The scripts of every folder whose name does not begin with a dot, and those of .ci.
check shell xargs -0 shellcheck < <(
  find . -path './.?*' -prune -o -name '*.sh' -print0
  find .ci -type f -print0
)
# As many at a time as there are processors, two to four of them (tests/workers.py says what where).
processors=$(nproc)
check tests pytest --cov --numprocesses $((processors < 2 ? 2 : processors > 4 ? 4 : processors))

printf '\n== summary\n%s' "$summary"
exit "$failed"
