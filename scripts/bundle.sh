#!/usr/bin/env bash
# Check and test the front end, build its bundle again, and compare it with the committed one, byte by byte.
set -eu
cd "$(dirname "$0")/.."
if ! command -v npm >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing Node for the front end's tests ..."
    { apt-get update && apt-get install -y --no-install-recommends nodejs npm; } >/tmp/tidegate-apt.log 2>&1 || tail -n 3 /tmp/tidegate-apt.log
fi
if ! command -v npm >/dev/null; then
    echo "There is no Node here and it could not be installed: the front end's tests are skipped."
    exit 0
fi
bundle=$PWD/widgets/tidegate_widgets/static/run_graph.js
before=$(sha256sum <"$bundle")
cd widgets/js
npm ci --silent --no-audit --no-fund
npm run --silent check
npm run --silent test
npm run --silent build
if [ "$before" != "$(sha256sum <"$bundle")" ]; then
    echo "The committed bundle is not what its sources give. It has just been built anew: commit $bundle."
    exit 1
fi
