#!/usr/bin/env bash
# Cancels the jobs of the SLURM that start.sh started in FOLDER and ends exactly its daemons: `bash tests/slurm/stop.sh FOLDER`
set -u
folder=$(cd "$1" && pwd -P) || exit 0
export SLURM_CONF=$folder/slurm.conf PATH=$PATH:/usr/sbin:/sbin

running() { # running ID PROGRAM: that process is still that program, and not a zombie
  test -d "/proc/$1" && tr '\0' ' ' <"/proc/$1/cmdline" | grep -q -- "$2"
}

end() { # end PIDFILE PROGRAM
  local id
  id=$(cat "$1" 2>/dev/null) && test -n "$id" && running "$id" "$2" || return 0
  kill "$id"
  for _ in $(seq 100); do
    running "$id" "$2" || return 0
    sleep 0.1
  done
  kill -9 "$id"
}

# a test that was cut short may have left the cluster without its controller, which alone can cancel jobs
if munge --no-input --socket="$folder/run/munge.socket" >/dev/null 2>&1 && ! timeout 10 scontrol ping >/dev/null 2>&1; then
  setsid slurmctld -f "$SLURM_CONF" </dev/null >>"$folder/log/slurmctld.out" 2>&1
fi
timeout 10 scancel --user root
for _ in $(seq 50); do
  test -n "$(timeout 5 squeue --noheader 2>/dev/null)" || break
  sleep 0.2
done
for file in "$folder"/run/slurmd-*.pid; do end "$file" slurmd; done
end "$folder/run/slurmctld.pid" slurmctld
end "$folder/run/munged.pid" munged
