#!/bin/bash
#
# vim.sh - Vim without a screen: a long text changed by commands, undone, and written.
#
# Compared: the files that it writes.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
need /usr/bin/vim.tiny vim-tiny

session()
{
    awk 'BEGIN {
        srand(1); for (i = 0; i < 30000; i++) print i, "some text", int(rand() * 1e6) }' >text
    cat >commands <<'EOF'
set undolevels=1000
%s/\v(\d+)$/<\1>/
g/7>$/d
g/^1/m0
%sort /some/
write first
1,5000d
undo
normal ggVG:s/text/TEXT/g
1000,2000join
write second
undo
1,$!rev
write third
quit!
EOF
    prove /usr/bin/vim.tiny --version
    under /usr/bin/vim.tiny -u NONE -i NONE -n -e -s -S commands text
    wc first second third
    digest first second third
}

run_program
