#!/usr/bin/env bash
# Everything that must hold: style, types, the import rule, and the tests. Arguments go to pytest: ./test.sh -k envelope
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
./setup_venv.sh
export PATH="$PWD/.venv/bin:$PATH"
ruff format --check --quiet .
ruff check --quiet .
mypy
lint-imports --no-cache > /tmp/mimic_lint_imports.$$ || { cat /tmp/mimic_lint_imports.$$; exit 1; }
rm -f /tmp/mimic_lint_imports.$$
exec python -m pytest -n 2 --dist loadfile "$@"
