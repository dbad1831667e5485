# Where the jobs of all recipes run. The cmd.sh of a recipe sources this file; settings for one recipe go there.
# The launchers keep Kaldi's contract:  $train_cmd [options] JOB=1:N log/x.JOB.log command ...
#   local       on this machine, as many jobs at a time as it has cores
#   slurm, sge  on a cluster, by sbatch or qsub, with the options in conf/cluster/*.conf
# Options of a site may follow the name of a launcher: cuda_cmd="slurm.py --partition gpu --time 24:00:00 --retry 1"
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
