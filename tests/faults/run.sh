#!/bin/bash
# The campaign of faults: breaks runs in every way that it knows, and sees what is left.
#
#   tests/faults/run.sh                        600 faults, or what three minutes hold
#   tests/faults/run.sh 2000                   so many
#   tests/faults/run.sh --long                 for an hour
#   tests/faults/run.sh --on postgres 100      on one engine
#   tests/faults/run.sh --only crash 50        one kind of fault; may be given several times
#   tests/faults/run.sh --seed 7 …             the same choices again
#   tests/faults/run.sh --write …              puts the matrix into docs/guarantees.md
#
#   PRELAUNCH_TEST_PGBIN=$(tests/postgres.sh 18) tests/faults/run.sh    another PostgreSQL
#
# A fault that is not survived is shown with all that the runs said, and with the command that tries
# it again.
set -euo pipefail
cd "$(dirname "$0")/../.."

exec ./test.sh --exec cargo test --quiet --locked --test faults -- "$@"
