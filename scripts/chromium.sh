#!/usr/bin/env bash
# A browser for the browser tests: the system's Chromium, by apt where it is missing and one may.
set -eu
for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing Chromium for the browser tests ..."
    if { apt-get update && apt-get install -y --no-install-recommends chromium fonts-dejavu-core; } >/tmp/tidegate-apt.log 2>&1; then
        exit 0
    fi
    tail -n 3 /tmp/tidegate-apt.log
fi
echo "There is no Chromium here and it could not be installed: the browser tests will be skipped."
