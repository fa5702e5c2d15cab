#!/bin/sh
# Sees to it that the Node which npm brought starts: it wants libatomic, which minimal systems lack. As root on Debian it
# is installed, else one line says so.
node --version >/dev/null 2>&1 && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update >/dev/null && apt-get -qq install -y --no-install-recommends libatomic1 >/dev/null 2>&1
fi
problem=$(node --version 2>&1 >/dev/null) && exit 0
echo "Node does not start (Debian: apt-get install libatomic1): $problem" >&2
exit 1
