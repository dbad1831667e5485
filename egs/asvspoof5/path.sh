# The environment of this recipe: that of all recipes.
. "$(dirname "${BASH_SOURCE[0]}")/../common/path.sh"
