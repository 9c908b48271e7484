#!/usr/bin/env bash
# Every check of the tutorial. Without Node or chromium it says what it skips; where CI=true, that is an error.
set -euo pipefail
cd "$(dirname "$0")"

skip() {
  echo "$1"
  [ "${CI:-}" != true ] || exit 1
  exit 0
}

make -s -C .. node >/dev/null 2>&1 || skip "tutorial tests skipped: no Node (>= 20.19)"
make -s -C .. tutorial
npm run -s typecheck
npm test -s
command -v "${CHROMIUM:-chromium}" >/dev/null || skip "browser tests skipped: no chromium"
npm run -s e2e
