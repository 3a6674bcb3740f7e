#!/usr/bin/env bash
# Everything that must hold: style, types, the import rule, and the tests. Arguments go to pytest: ./test.sh -k envelope
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
./setup_venv.sh
export PATH="$PWD/.venv/bin:$PATH"
ruff format --check --quiet .
ruff check --quiet .
mypy
imports=$(lint-imports --no-cache) || { echo "$imports"; exit 1; }
exec python -m pytest -n 2 --dist loadfile "$@"
