# Sourced by run.sh: how jobs are run. The commands keep Kaldi's contract:
#   $train_cmd [options] JOB=1:N log/x.JOB.log command ...
# local: on this machine, a pool of as many jobs as there are cores.
cmd_backend=${cmd_backend:-local}

case $cmd_backend in
  local)
    train_cmd="run.py" # CPU jobs
    cuda_cmd="run.py"  # jobs that get --gpu N
    ;;
  *)
    echo "cmd.sh: unknown cmd_backend '$cmd_backend': it is local" >&2
    exit 1
    ;;
esac
