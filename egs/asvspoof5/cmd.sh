# Where the jobs of this recipe run: as those of all recipes, unless train_cmd (CPU jobs) or cuda_cmd is set here.
. "$(dirname "${BASH_SOURCE[0]}")/../common/cmd.sh"
