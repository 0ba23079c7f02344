#!/usr/bin/env bash
# Starts a real SLURM of virtual nodes on loopback, as root and without systemd: `bash tests/slurm/start.sh FOLDER && . FOLDER/env`
# `bash tests/slurm/stop.sh FOLDER` ends it. Environment: NODES=2, PORT=36817 (and the NODES + 2 after it).
#
# n1 … are small nodes, of the partitions main, short (five minutes at most), low and high. A job of high that finds no room
# sends jobs of the others back into the queue: of main after a warning and five seconds, of low and short at once.
# g1 and g2 are nodes of eight GPUs, of the partition gpu. Their GPUs, cores and memory can be asked for and are not there.
# A job that has more in memory than it asked for is ended; a node that does not answer is down after about twenty seconds.
set -euo pipefail
nodes=${NODES:-2} names="$(seq -f n%g "${NODES:-2}") g1 g2" port=${PORT:-36817} host=$(uname -n | cut -d. -f1)
mkdir -p "$1"
folder=$(cd "$1" && pwd -P)
PATH=$PATH:/usr/sbin:/sbin
umask 022
mkdir -p "$folder"/{log,run,state,munge,gpu}
chmod 700 "$folder/munge"
socket=$folder/run/munge.socket

wait_for() { # wait_for SECONDS WHAT COMMAND…
  local end=$((SECONDS + $1)) what=$2
  shift 2
  while test $SECONDS -lt $end; do
    "$@" >/dev/null 2>&1 && return
    sleep 0.1
  done
  echo "start.sh: waited too long for $what" >&2
  tail -n 15 "$folder"/log/* >&2
  bash "$(dirname "$0")/stop.sh" "$folder"
  exit 1
}

configuration() {
  cat <<CONF
ClusterName=tests
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$socket,cred_expire=5
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPort=$port
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/run/spool-%n
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd-%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmdParameters=config_overrides
SlurmctldParameters=node_reg_mem_percent=1
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
ReturnToService=2
KillWait=5
# a node without power is down after about twenty seconds; one whose cores are busy stays up
SlurmdTimeout=10
MessageTimeout=5
# what became of a job can be asked for as long as the tests take
MinJobAge=86400
MailProg=/bin/true
# small, so that a few shards need two arrays
MaxArraySize=4
CONF
  for name in $names; do
    case $name in
      n*) has="CPUs=2 RealMemory=4000" ;;
      g*) has="CPUs=96 RealMemory=1000000 Gres=gpu:8" ;;
    esac
    echo "NodeName=$name NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port += 1)) $has State=UNKNOWN"
  done
  echo "PartitionName=main Nodes=n[1-$nodes] Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=5"
  echo "PartitionName=short Nodes=n[1-$nodes] MaxTime=5 State=UP PriorityTier=1"
  echo "PartitionName=low Nodes=n[1-$nodes] MaxTime=INFINITE State=UP PriorityTier=1"
  echo "PartitionName=high Nodes=n[1-$nodes] MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF"
  echo "PartitionName=gpu Nodes=g[1-2] MaxTime=INFINITE State=UP"
}

test -s "$folder/munge/key" || head -c 1024 /dev/urandom >"$folder/munge/key"
chmod 600 "$folder/munge/key"
configuration >"$folder/slurm.conf"
touch "$folder"/gpu/{0..7}
echo "NodeName=g[1-2] Name=gpu File=$folder/gpu/[0-7] AutoDetect=off" >"$folder/gres.conf"
printf 'export SLURM_CONF=%q\n' "$folder/slurm.conf" >"$folder/env"
export SLURM_CONF=$folder/slurm.conf

# Each daemon writes its process id, which stop.sh reads; none keeps the caller's output open.
munged --force --socket="$socket" --key-file="$folder/munge/key" --pid-file="$folder/run/munged.pid" \
  --log-file="$folder/log/munged.log" --seed-file="$folder/munge/seed" --num-threads=2 </dev/null >"$folder/log/munged.out" 2>&1
wait_for 10 munged munge -n -S "$socket"
setsid slurmctld -f "$SLURM_CONF" </dev/null >"$folder/log/slurmctld.out" 2>&1
wait_for 30 slurmctld scontrol ping
for name in $names; do
  mkdir -p "$folder/run/spool-$name"
  setsid slurmd -f "$SLURM_CONF" -N "$name" </dev/null >"$folder/log/slurmd-$name.out" 2>&1
done
ready() { test "$(sinfo --noheader --Node --partition main,gpu --states idle --format %N | wc -l)" = "$(wc -w <<<"$names")"; }
wait_for 30 "the nodes" ready
