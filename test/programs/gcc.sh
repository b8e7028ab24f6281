#!/bin/bash
#
# gcc.sh - gcc: a generated C program, at several levels and with link-time optimisation.
#
# Compared: object files, programs and what they print.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
need /usr/bin/gcc gcc

# Files with many functions and switches, so that the optimiser has graphs to build.
prepare()
{
    local file
    for file in 1 2 3; do
        awk -v file="$file" 'BEGIN {
            srand(file)
            print "#include <stdint.h>"
            for (f = 0; f < 90; f++) {
                printf "static uint32_t step_%d(uint32_t x, uint32_t n)\n{\n", f
                print "    for (uint32_t i = 0; i < n; i++) {\n        switch ((x + i) % 11) {"
                for (c = 0; c < 11; c++) {
                    printf "        case %d: x = x * %du + %du; ", c, int(rand() * 1e6), \
                        int(rand() * 1e6)
                    if (f > 0 && c == 5)
                        printf "x ^= step_%d(x, n / 2); ", int(rand() * f)
                    print "break;"
                }
                print "        }\n        x ^= x >> 13;\n    }\n    return x;\n}\n"
            }
            printf "uint32_t\nfile_%d(uint32_t x)\n{\n", file
            for (f = 0; f < 90; f++)
                printf "    x += step_%d(x, %d);\n", f, 1 + f % 3
            print "    return x;\n}"
        }' >"file$file.c"
    done
    cat >main.c <<'EOF'
#include <inttypes.h>
#include <stdio.h>

uint32_t file_1(uint32_t), file_2(uint32_t), file_3(uint32_t);

int
main(void)
{
    printf("%" PRIu32 "\n", file_1(file_2(file_3(1))));
    return 0;
}
EOF
}

session()
{
    local level file
    cp "$XA_PROGRAMS_FOLDER"/input/*.c .
    prove /usr/bin/gcc -fsyntax-only main.c
    for level in 0 2; do
        for file in file1 file2 file3 main; do
            under /usr/bin/gcc -g "-O$level" -c -o "$file.$level.o" "$file.c"
        done
        under /usr/bin/gcc -o "program$level" file{1,2,3}."$level.o" "main.$level.o"
        "./program$level"
    done
    # Two partitions are compiled at once, by processes that the linker's plugin starts.
    for file in file1 file2 main; do
        under /usr/bin/gcc -O1 -flto -frandom-seed="$file" -c -o "$file.lto.o" "$file.c"
    done
    under /usr/bin/gcc -O1 -flto=2 -o program-lto file{1,2}.lto.o file3.2.o main.lto.o
    ./program-lto
    digest ./*.o program0 program2 program-lto
}

run_program
