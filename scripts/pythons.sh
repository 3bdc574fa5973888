#!/bin/bash
# Prints which of the interpreters that tabletd is made for are on this machine: `VERSION PATH` a line.
for version in 3.11 3.12 3.13; do
    for candidate in "python$version" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python; do
        found=$("$candidate" -c 'import ssl, sys, venv; print("%d.%d" % sys.version_info[:2], sys.executable)' \
            2>/dev/null) || continue
        if [ "${found%% *}" = "$version" ]; then
            echo "$found"
            break
        fi
    done
done
