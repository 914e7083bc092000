#!/usr/bin/env bash
# A Slurm of four nodes on this machine, all on 127.0.0.1, for tests/array/tests/slurm.rs; needs no root to run:
#
#   slurm-local.sh start DIR [accounting]   starts it, with a key and sockets of its own in DIR; with `accounting` without cgroups
#   slurm-local.sh stop DIR                 stops it by the ids of its processes
#   slurm-local.sh node DIR N               starts the daemon of node N again
#   slurm-local.sh controller DIR           starts the controller again
set -euo pipefail
command=$1 dir=$(realpath -m "$2") option=${3:-} nodes=4 user=$(id -un) host=$(hostname)
export SLURM_CONF=$dir/slurm.conf
stop() {
    for file in "$dir"/run/slurmd.*.pid "$dir"/run/slurmctld.pid "$dir"/run/munged.pid; do
        if [ -f "$file" ]; then kill "$(cat "$file")" 2>/dev/null || true; fi
    done
}
case $command in
    stop) stop; exit ;;
    node) exec slurmd -f "$SLURM_CONF" -N "n$option" ;;
    controller) exec slurmctld -f "$SLURM_CONF" ;;
    start) ;;
    *) echo "start, stop, node or controller" >&2; exit 1 ;;
esac
rm -rf "$dir"; mkdir -p "$dir"/{run,state,log,spool,munge}; chmod 755 "$dir" "$dir/munge"; umask 022
# Limits by cgroups (v1) where this process may make some, otherwise by a look once a second.
limits='ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherParams=OverMemoryKill'
if [ "$option" != accounting ] && [ -w /sys/fs/cgroup/memory ] && [ -w /sys/fs/cgroup/freezer ] && [ -w /sys/fs/cgroup/cpuset ]; then
    limits='ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup'
    printf '%s\n' CgroupPlugin=cgroup/v1 CgroupMountpoint=/sys/fs/cgroup ConstrainRAMSpace=yes ConstrainCores=yes >"$dir/cgroup.conf"
fi
cat >"$SLURM_CONF" <<CONF
ClusterName=local
SlurmctldHost=$host(127.0.0.1)
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
# A requeued task waits as long as a credential lives: 120 s unless told, 5 s at least.
AuthInfo=socket=$dir/munge/socket,cred_expire=5
SlurmctldPort=16817
SlurmctldPidFile=$dir/run/slurmctld.pid
SlurmdPidFile=$dir/run/slurmd.%n.pid
SlurmctldLogFile=$dir/log/slurmctld
SlurmdLogFile=$dir/log/slurmd.%n
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
$limits
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
# A task that its node does not know is missing after this many seconds, in place of ten.
BatchStartTimeout=1
# What was requeued is looked for once a second, in place of every half minute.
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=1
SlurmdTimeout=10
RequeueExit=75
NodeName=n[1-$nodes] NodeHostname=$host NodeAddr=127.0.0.1 Port=[17001-1700$nodes] CPUs=2 RealMemory=2000
PartitionName=all Nodes=n[1-$nodes] Default=YES
CONF
head -c 128 /dev/urandom >"$dir/key"; chmod 600 "$dir/key"
trap stop ERR
munged --force --key-file="$dir/key" --socket="$dir/munge/socket" --pid-file="$dir/run/munged.pid" --log-file="$dir/log/munged" --seed-file="$dir/run/seed"
slurmctld -f "$SLURM_CONF"
for ((i = 1; i <= nodes; i++)); do mkdir "$dir/spool/n$i"; slurmd -f "$SLURM_CONF" -N "n$i"; done
for ((i = 0; i < 1200; i++)); do
    [ "$(sinfo -h -N -o %t | grep -c idle)" = $nodes ] && { echo "export SLURM_CONF=$SLURM_CONF"; exit; }
    sleep 0.1
done
echo "the nodes did not come up, see $dir/log" >&2; stop; exit 1
