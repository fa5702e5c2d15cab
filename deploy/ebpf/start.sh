#!/bin/sh
# Starts a sidecar that has its service's port: by the program of eBPF where the kernel takes it, else by rules of nftables.
#   SERVICE_PORT=3000 SIDECAR_PORT=8080 SIDECAR_UID=65532 BPF_PINS=/sys/fs/bpf start.sh outrigger
set -eu
folder=$(dirname "$0")
steer=${STEER:-$folder/build/outrigger-steer}
port=${SERVICE_PORT:?is not set: the port of the service}
to=${SIDECAR_PORT:-8080}
uid=${SIDECAR_UID:-65532}
pins=${BPF_PINS:-/sys/fs/bpf}

if "$steer" --port "$port" --to "$to" --pins "$pins" --attach; then
  # Refused from here on, whatever comes next. One of the two is enough, and NAT would come first.
  "$@" intercept remove >&2 || true
  exec "$steer" --port "$port" --to "$to" --uid "$uid" --pins "$pins" -- "$@" run
fi
echo "start.sh: eBPF is not to be had here, nftables is used" >&2
OUTRIGGER_LISTEN="[::]:$to" "$@" intercept install --port "$port" >&2
export OUTRIGGER_LISTEN="[::]:$to"
exec setpriv --reuid="$uid" --regid="$uid" --clear-groups --inh-caps=-all --no-new-privs -- "$@" run
