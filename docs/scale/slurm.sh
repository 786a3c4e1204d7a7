#!/bin/bash
# Trains one run on 2 machines of 8 GPUs: sbatch slurm.sh. Submitted again, or requeued, it goes on with the run.
#SBATCH --job-name=interalia
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@300
#SBATCH --open-mode=append
#SBATCH --requeue

run=runs/ali-cifar10
if [ -e "$run/run.json" ]; then
    arguments=(--resume "$run")
else
    arguments=(ali-cifar10 --batch-size 1024 --out "$run")
fi

export WORLD_SIZE=$SLURM_NTASKS OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK MASTER_PORT=29500
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export MASTER_ADDR

# srun starts each process itself, so that SIGUSR1, five minutes before the end, reaches the trainings: they save and end with
# code 130. The others notice a process that dies, and end; --wait ends them if they do not, half an hour later.
# shellcheck disable=SC2016
srun --kill-on-bad-exit=0 --wait=1800 bash -c \
    'RANK=$SLURM_PROCID LOCAL_RANK=$SLURM_LOCALID exec python -m interalia train "$@"' train "${arguments[@]}"
code=$?
[ $code -eq 130 ] && scontrol requeue "$SLURM_JOB_ID"
exit $code
