#!/usr/bin/env bash
# A real SLURM on this machine, for the tests of utils/slurm.py: two nodes, two fake GPUs, nothing left behind by stop.
# Usage: tools/slurm_lab.sh install         Debian's packages (needs root; about 60 MB)
#        tools/slurm_lab.sh start [FOLDER]  then: export SLURM_CONF=FOLDER/slurm.conf
#        tools/slurm_lab.sh stop [FOLDER]
# FOLDER holds its configuration, state and logs; default: /tmp/slurm_lab.
# Partitions: cpu (the default) and gpu have the first node. urgent takes it away from them, after a few seconds in cpu
# and at once in gpu; what it stops is queued again. Its own jobs may ask for an hour at most. both has the second node
# too, for jobs of several nodes: utils/slurm.py --partition both --num-nodes 2 ...
set -euo pipefail

say() { echo "slurm_lab.sh: $*" >&2; }
case ${1:-} in
  install | start | stop) ;;
  --help) sed -n '2,9s/^# //p' "$0"; exit 0 ;;
  *) say "needs install, start or stop (try --help)"; exit 1 ;;
esac
folder=$(realpath -m "${2:-/tmp/slurm_lab}")
packages=(slurmctld slurmd slurm-client munge)
programs=(munged slurmctld slurmd sbatch)
missing() { local name; for name in "${programs[@]}"; do command -v "$name" >/dev/null || echo "$name"; done; }

install_packages() {
  [ -n "$(missing)" ] || return 0
  [ "$(id -u)" = 0 ] || { say "install needs root"; exit 1; }
  command -v apt-get >/dev/null || { say "install needs apt-get: this is not Debian"; exit 1; }
  export DEBIAN_FRONTEND=noninteractive
  # The lists of packages may be missing or outdated; if they are not, updating them is a waste of time.
  apt-get install -qq -y --no-install-recommends "${packages[@]}" >/dev/null 2>&1 || {
    apt-get update -qq
    apt-get install -qq -y --no-install-recommends "${packages[@]}" >/dev/null
  }
}

# munged insists on files that nobody else could have put there, so they lie in a folder of root's own below /run,
# with the GPUs and all pid files. A link leads there, which is all that stop needs.
start_lab() {
  local lacking host run cpus gpu
  lacking=$(missing | paste -sd ' ')
  [ -z "$lacking" ] || { say "not installed: $lacking (tools/slurm_lab.sh install)"; exit 1; }
  [ "$(id -u)" = 0 ] || { say "start needs root"; exit 1; }
  [ ! -e "$folder/run" ] || { say "$folder: already started"; exit 1; }
  host=$(hostname -s)
  cpus=$(($(nproc) > 8 ? $(nproc) : 8)) # may be more than there are
  mkdir -p "$folder"/{state,log} "$folder/spool/$host"{,-2}
  run=$(mktemp -d /run/slurm_lab.XXXXXX)
  chmod 755 "$run"
  ln -s "$run" "$folder/run"
  trap '[ $? -eq 0 ] || stop_lab' EXIT

  (umask 077; head -c 1024 /dev/urandom >"$run/munge.key")
  munged --key-file="$run/munge.key" --socket="$run/munge.sock" --pid-file="$run/munged.pid" \
    --log-file="$run/munged.log" --seed-file="$run/munge.seed" --num-threads=2

  : >"$folder/gres.conf"
  for gpu in 0 1; do # SLURM wants device nodes for GPUs; these are two more of /dev/null
    mknod "$run/gpu$gpu" c 1 3
    echo "NodeName=$host Name=gpu File=$run/gpu$gpu" >>"$folder/gres.conf"
  done
  echo "CgroupAutomount=no" >"$folder/cgroup.conf" # an empty file is an error, none at all is one too
  configuration "$host" "$run" "$cpus" >"$folder/slurm.conf"

  export SLURM_CONF=$folder/slurm.conf
  slurmctld -c -f "$SLURM_CONF"
  slurmd -f "$SLURM_CONF" -N "$host"
  slurmd -f "$SLURM_CONF" -N "$host-2"
  for _ in {1..150}; do
    if [ "$(sinfo --noheader --partition both --format %T 2>/dev/null)" = idle ]; then
      echo "export SLURM_CONF=$SLURM_CONF"
      return
    fi
    sleep 0.2
  done
  say "the nodes did not get ready; the ends of $folder/log/*.log:"
  tail -n 15 "$folder"/log/*.log >&2
  exit 1
}

configuration() { # configuration HOST RUN CPUS
  local port=${SLURM_LAB_PORT:-16817}
  cat <<CONF
ClusterName=lab
SlurmctldHost=$1(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# A job that was stopped is queued again only when its credential has expired, after two minutes by default.
AuthInfo=socket=$2/munge.sock,cred_expire=5
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.%n.log
SlurmctldPidFile=$2/slurmctld.pid
SlurmdPidFile=$2/slurmd.%n.pid
# No cgroups: they need more rights than a container has. Processes are found by their parents, memory is polled.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,batch_sched_delay=0,sched_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
# Small, so that a test meets it: 10 is the largest number of a task.
MaxArraySize=11
KillWait=5
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=60
SlurmdParameters=config_overrides
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
GresTypes=gpu
DefMemPerCPU=2000
# The first node has this machine's name, so that programs of several nodes find it; the second one is a second slurmd.
NodeName=$1 NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=$3 RealMemory=$(($3 * 2048)) Gres=gpu:2 State=UNKNOWN
NodeName=$1-2 NodeHostname=$1 NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=$3 RealMemory=$(($3 * 2048)) State=UNKNOWN
PartitionName=cpu Nodes=$1 Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=5
PartitionName=gpu Nodes=$1 MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE
PartitionName=urgent Nodes=$1 MaxTime=60 State=UP PriorityTier=10 PreemptMode=OFF
PartitionName=both Nodes=$1,$1-2 MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=5
CONF
}

stop_lab() {
  local run pids
  run=$(readlink "$folder/run") || return 0
  SLURM_CONF=$folder/slurm.conf timeout 15 bash -c \
    'scancel --quiet --user=root; while [ -n "$(squeue --noheader)" ]; do sleep 0.1; done' 2>/dev/null || true
  mapfile -t pids < <(cat "$run"/*.pid 2>/dev/null)
  if kill "${pids[@]}" 2>/dev/null; then
    for _ in {1..100}; do
      kill -0 "${pids[@]}" 2>/dev/null || break # true as long as one is left
      sleep 0.1
    done
    kill -9 "${pids[@]}" 2>/dev/null || true
  fi
  rm -rf "$run" "$folder/run"
}

case $1 in
  install) install_packages ;;
  start) start_lab ;;
  stop) stop_lab ;;
esac
