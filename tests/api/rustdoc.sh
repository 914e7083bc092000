#!/bin/sh
# The stable compiler writes the docs' data only if it acts as a nightly one. The variable is not set
# for cargo, which would build all dependencies anew for that.
RUSTC_BOOTSTRAP=1 exec rustdoc "$@"
