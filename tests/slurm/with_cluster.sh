#!/usr/bin/env bash
# Runs a command beside a SLURM of its own: `bash tests/slurm/with_cluster.sh pytest -m slurm -n 0 tests/slurm`
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'bash "$here/stop.sh" "$folder" 2>/dev/null; rm -rf "$folder"' EXIT
bash "$here/start.sh" "$folder"
# shellcheck disable=SC1091
source "$folder/env"
"$@"
