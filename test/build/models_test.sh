#!/usr/bin/env bash
# models_test.sh - the models are right in every order of their steps, and each of their faults is found.
set -euo pipefail
: "${top_srcdir:?models_test.sh is for make check}"
exec "$top_srcdir/bin/dev/check-models"
