#!/bin/bash
#
# z3.sh - Z3: bit vectors, integers, arrays, quantifiers, optimisation; also with two threads.
#
# Compared: answers and models; with threads only the answer, since the model is the first found.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
need /usr/bin/z3 z3

prepare()
{
    # Nine queens, as integers.
    awk -v n=9 'BEGIN {
        print "(set-option :smt.random_seed 1)"
        for (i = 0; i < n; i++)
            printf "(declare-const q%d Int)(assert (and (<= 0 q%d) (< q%d %d)))\n", i, i, i, n
        for (i = 0; i < n; i++) for (j = 0; j < i; j++)
            printf "(assert (not (or (= q%d q%d) (= (- q%d q%d) %d) (= (- q%d q%d) %d))))\n",
                i, j, i, j, i - j, j, i, i - j
        print "(check-sat)(get-model)"
    }' >queens.smt2
    # Nine pigeons do not fit into eight holes: a long search without an answer.
    awk -v n=8 'BEGIN {
        for (p = 0; p <= n; p++) for (h = 0; h < n; h++)
            printf "(declare-const p%d_%d Bool)\n", p, h
        for (p = 0; p <= n; p++) { printf "(assert (or"
            for (h = 0; h < n; h++) printf " p%d_%d", p, h; print "))" }
        for (h = 0; h < n; h++) for (p = 0; p <= n; p++) for (q = 0; q < p; q++)
            printf "(assert (not (and p%d_%d p%d_%d)))\n", p, h, q, h
        print "(check-sat)"
    }' >pigeons.smt2
    cat >factors.smt2 <<'EOF'
(declare-const a (_ BitVec 48))
(declare-const b (_ BitVec 48))
(assert (= (bvmul a b) #x00000b2a1f57))
(assert (bvult a #x000000100000))
(assert (bvult b #x000000100000))
(assert (bvugt a #x000000000001))
(assert (bvule a b))
(check-sat)
EOF
    cat >theories.smt2 <<'EOF'
(declare-fun f (Int) Int)
(declare-const heap (Array Int Int))
(declare-const text String)
(assert (forall ((x Int)) (=> (>= x 0) (= (f (+ x 1)) (+ (f x) 2)))))
(assert (= (f 0) 5))
(push)
(assert (= (select (store heap 3 7) 3) 8))
(check-sat)
(pop)
(push)
(assert (not (= (f 6) 17)))
(check-sat)
(pop)
(push)
(assert (= (str.len text) 6))
(assert (str.contains text "xa"))
(assert (str.prefixof "al" text))
(check-sat)
(pop)
(simplify (+ 1 (* 2 3)))
EOF
    cat >optimise.smt2 <<'EOF'
(declare-const x Int)
(declare-const y Int)
(assert (<= (+ (* 3 x) (* 5 y)) 1000))
(assert (<= (+ (* 7 x) (* 2 y)) 900))
(assert (>= x 3))
(assert (= (mod y 7) 4))
(maximize (+ (* 4 x) (* 3 y)))
(check-sat)
(get-objectives)
EOF
}

session()
{
    local problem
    prove /usr/bin/z3 -version
    for problem in queens pigeons factors theories optimise; do
        echo "$problem"
        under /usr/bin/z3 -T:60 "$XA_PROGRAMS_FOLDER/input/$problem.smt2"
    done
    under /usr/bin/z3 -T:60 parallel.enable=true parallel.threads.max=2 \
        "$XA_PROGRAMS_FOLDER/input/pigeons.smt2"
}

run_program
