#!/bin/sh
# Prints the newest Python for the tests: the one that uv brings, else one that is installed, of
# uv's own search or pyenv's; nothing where none is newer than the oldest that is supported.
# Usage: newest_python.sh UV
set -eu
uv=$1
if timeout 120 "$uv" python install --quiet 3.14 2>/dev/null; then
    "$uv" python find 3.14
    exit
fi
for version in 3.14 3.13 3.12; do
    "$uv" python find --quiet --no-python-downloads "$version" 2>/dev/null && exit
    for python in "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python; do
        test -x "$python" && echo "$python" && exit
    done
done
