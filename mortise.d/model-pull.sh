#!/usr/bin/env bash
# model-pull.sh NAME CACHE: brings the model that manifests/models/NAME.json declares to CACHE/models/NAME and prints that folder.
# Every file's digest is checked each time; an interrupted download is continued.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

name=${1:?usage: model-pull.sh NAME CACHE}
cache=${2:?usage: model-pull.sh NAME CACHE}
manifest=$MORTISE_ROOT/manifests/models/$name.json
folder=$cache/models/$name

known_models() {
    local file
    for file in "$MORTISE_ROOT"/manifests/models/*.json; do basename "$file" .json; done | paste -sd' '
}

[[ $name =~ ^[a-z0-9][a-z0-9._-]*$ && -f $manifest ]] ||
    fail "no model is called '$name'. Known: $(known_models)"
mkdir -p "$cache/models"
python=$(python_env "$cache")
exec 9>"$cache/models/.lock"
flock 9
PYTHONDONTWRITEBYTECODE=1 "$python" "$MORTISE_PARTS/model_pull.py" "$manifest" "$cache" "$folder"
printf '%s\n' "$folder"
