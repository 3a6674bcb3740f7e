#!/usr/bin/env bash
# Makes .venv with everything that the demo and the tests need; does nothing when it is there already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if ! ldconfig -p | grep -q libEGL.so.1 || ! find /usr/lib* -name 'swrast_dri.so' -o -name 'libgallium*.so' 2>/dev/null | grep -q .; then
  if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    echo "Installing the renderer's system libraries (libegl1, libgl1-mesa-dri)" >&2
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq libegl1 libgl1-mesa-dri > /dev/null
  else
    echo "The renderer needs system libraries. Install them, then start again:" >&2
    echo "  sudo apt-get install -y libegl1 libgl1-mesa-dri" >&2
    exit 1
  fi
fi

stamp=.venv/.installed
wanted=$(cat requirements.lock setup.py package.xml | sha256sum)
[ -x .venv/bin/mimic ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && exit 0

python=""
for candidate in python3.11 python3.12 python3.13 python3; do
  if command -v "$candidate" > /dev/null && "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; then
    python=$candidate
    break
  fi
done
[ -n "$python" ] || { echo "Python 3.11 to 3.13 is needed, with its venv module" >&2; exit 1; }

[ -x .venv/bin/python ] || "$python" -m venv .venv
echo "Installing into .venv: about two minutes and 2.5 GB" >&2
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
printf '%s' "$wanted" > "$stamp"
