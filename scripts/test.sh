#!/bin/bash
# Every check of the house, on this Node and on a newer one. Leaves the counts of the test runs in $STK_TEST_REPORTS
# (.cache/test-reports by default), one JSON file for each run.
set -u
cd "$(dirname "$0")/.."
./setup --tests || exit 1

reports=${STK_TEST_REPORTS:-$PWD/.cache/test-reports}
rm -rf "$reports"
mkdir -p "$reports"

failed=()
stage() {
  local name=$1 start=$SECONDS
  shift
  echo "== $name"
  "$@" || failed+=("$name")
  echo "== $name: $((SECONDS - start)) s"
}

# Its own tools are the ones of the checkout.
bin=node_modules/.bin
run_tests() {
  local node=$1 name=$2
  shift 2
  STK_TEST_REPORT=$reports/$name.json "$node" node_modules/vitest/vitest.mjs run "$@"
}

stage 'format' "$bin/prettier" --check .
stage 'lint' "$bin/oxlint" --type-aware
stage 'dead code' "$bin/knip" --no-progress
stage 'types' "$bin/tsc" -p .
stage 'validator in step with the schema' node scripts/generate-validator.mjs --check
stage "tests on Node $(node --version)" run_tests node first
# What depends on Node shows in the unit and contract tests and in the end-to-end tests that touch every room; the others
# vary what the kernel and the tools see, with the same JavaScript.
newer=.cache/node24/node
stage "unit tests on Node $($newer --version)" run_tests $newer newer-unit --project unit
stage "end-to-end tests on Node $($newer --version)" run_tests $newer newer-e2e --project e2e \
  test/rig test/e2e/examples test/e2e/graph test/e2e/interruption

# A few minutes of what docs/testing.md tells of, always with the same seed.
stage 'campaign of mutated inputs' node scripts/campaign.mjs fuzz --seed 1 --inputs 20000
stage 'campaign of registry faults' node scripts/campaign.mjs faults --seed 1 --faults 20
stage 'campaign of commands together' node scripts/campaign.mjs together --seed 1 --rounds 3
if [ "$(id -u)" = 0 ]; then
  stage 'campaign of kills' node scripts/campaign.mjs kill --seed 1 --kills 60
  stage 'campaign of full disks' node scripts/campaign.mjs disk --seed 1 --disks 10
  # Small ones, which make accounts, keys and alternatives.
  stage 'campaign of applied packages' node scripts/campaign.mjs apply --only cron+redis-server,ssl-cert+memcached
fi

if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}"
  exit 1
fi
echo 'everything passed'
