# Sourced by run.sh: how jobs are run. The commands keep Kaldi's contract:
#   $train_cmd [options] JOB=1:N log/x.JOB.log command ...
# local: on this machine, a pool of as many jobs as there are cores.
# slurm, sge: on a cluster, by sbatch or qsub, as conf/cluster/*.conf at the top of the repository says. Options that
# belong to a site may follow the launcher's name, as in cuda_cmd="slurm.py --partition gpu --time 24:00:00 --retry 1".
cmd_backend=${cmd_backend:-local}

case $cmd_backend in
  local)
    train_cmd=run.py # CPU jobs
    cuda_cmd=run.py  # jobs that get --gpu N
    ;;
  slurm)
    train_cmd=slurm.py
    cuda_cmd=slurm.py
    ;;
  sge)
    train_cmd=sge.py
    cuda_cmd=sge.py
    ;;
  *)
    echo "cmd.sh: unknown cmd_backend '$cmd_backend': it is local, slurm or sge" >&2
    exit 1
    ;;
esac
