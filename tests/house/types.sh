#!/bin/sh
# mypy, strict on protocol and coordinator. It follows packages by the names that they are installed as, which an
# editable install keeps in a finder of setuptools that mypy does not read: so it gets a folder with those names.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
names=$(mktemp -d)
trap 'rm -rf "$names"' EXIT
mkdir "$names/paris"
for package in protocol experts node coordinator; do ln -s "$here/$package" "$names/paris/$package"; done
cd "$names"
"${MYPY:-mypy}" --config-file "$here/pyproject.toml" --cache-dir "$here/.mypy_cache" --namespace-packages --explicit-package-bases -p paris
