#!/bin/sh
# Builds a shared layer and swaps it in every application image of a registry that applies it.
#
#   roll.sh [--dry-run] [OPTION OF stk build…]
#
#   REGISTRY    where images lie: docker://HOST/PATH. Required.
#   NAME        the image that applications apply; `ssl` unless it is set
#   RECIPE      the recipe that builds it; `stacker.yaml`
#   TAG         the tag of its new version; the date
#   APPS        applications as REPOSITORY[:TAG] below REGISTRY, separated by blanks; without it every repository
#               there is looked at, which needs a registry that lists them
#   SIGN_KEY    private key that signs the layer's image and the new versions
#   REPORT      where to write what changed, as JSON; `roll.json`
#
# With --dry-run nothing is written to the registry: the report says what would change. Without, it ends with the status
# of the first application that could not be updated, after all others were.
set -eu

: "${REGISTRY:?set it to docker://HOST/PATH}" "${NAME:=ssl}" "${RECIPE:=stacker.yaml}" "${REPORT:=roll.json}"
: "${TAG:=$(date -u +%Y%m%d.%H%M%S)}" "${APPS:=}" "${SIGN_KEY:=}" "${STK:=stk}"

dry_run=
if [ "${1:-}" = --dry-run ]; then
  dry_run=--dry-run
  shift
fi

# Steps that any machine has done before come from the registry: where neither the recipe nor its base has changed,
# nothing runs, and the layer is the same.
cache="$REGISTRY/cache"
if [ -n "$dry_run" ]; then
  $STK build -f "$RECIPE" --cache-from "$cache" "$@" "$NAME"
  layer="$NAME=oci:$PWD/oci:$NAME"
else
  $STK build -f "$RECIPE" --cache-from "$cache" --cache-to "$cache" "$@" "$NAME"
  $STK publish "$NAME" "$REGISTRY/$NAME:$TAG" ${SIGN_KEY:+--sign-key "$SIGN_KEY"}
  layer="$NAME=$REGISTRY/$NAME:$TAG"
fi

update() {
  $STK update --all --apply "$layer" --json $dry_run ${SIGN_KEY:+--sign-key "$SIGN_KEY"} "$1"
}

status=0
if [ -z "$APPS" ]; then
  update "$REGISTRY/" > "$REPORT" || status=$?
else
  : > "$REPORT"
  for app in $APPS; do
    # The status of the first failure is kept; the others go on.
    update "$REGISTRY/$app" >> "$REPORT" || { last=$?; [ "$status" != 0 ] || status=$last; }
  done
fi

cat "$REPORT"
exit "$status"
