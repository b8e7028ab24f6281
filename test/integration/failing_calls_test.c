/*
 * failing_calls_test.c - the real library, whose system calls fail; rows R4 and R11.
 *
 * The library makes its calls itself, so no preload can stand between; a seccomp filter can.  It
 * sends a signal for each call of a kind, and the handler makes the call or lets it fail:
 *
 *   the n-th of its kind alone, for every n that there is in a scenario
 *   the n-th and all that follow, for some n, until the scenario is over
 *
 * Afterwards everything that was taken has been freed, and the same can be had again.  What fails
 * gives NULL and ENOMEM; what succeeds leaves errno alone, and so does every free.
 *
 * The second part uses up the mappings that a process may have (vm.max_map_count, usually 65,530),
 * and lets go of them again.
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/child.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#ifdef __x86_64__
#define CAN_FILTER 1
#else
#define CAN_FILTER 0
#endif

enum { CHILD_SECONDS = 60, MIB = 1 << 20, UNTOUCHED = 4711, OBJECTS = 400, RUNS_MAX = 2000 };

/* Nobody blocks signals, as who starts a thread does: the filter's could not be handled then. */
extern const char *xalloc_conf;
const char *xalloc_conf = "background_thread:false";

static void *(*volatile call_malloc)(size_t) = malloc;
static void *(*volatile call_calloc)(size_t, size_t) = calloc;
static void *(*volatile call_realloc)(void *, size_t) = realloc;
static void *(*volatile call_memalign)(size_t, size_t) = memalign;
static void (*volatile call_free)(void *) = free;

static struct xa_child_result child;

/* Shared with the children. */
static struct plan {
    long call;         /* number of the call that fails */
    unsigned long nth; /* 1 is the first; 0: none */
    bool for_ever;
    bool is_over; /* nothing fails any more */
    unsigned long seen, failed;
    unsigned long nulls;
} * plan;

/* ---- Failing ---- */

#if CAN_FILTER
/* The one place whose calls the filter lets through. */
__attribute__((noinline, used)) static long
call_really(long number, const greg_t *registers)
{
    register long r10 __asm__("r10") = (long)registers[REG_R10];
    register long r8 __asm__("r8") = (long)registers[REG_R8];
    register long r9 __asm__("r9") = (long)registers[REG_R9];
    long result;

    __asm__ volatile("syscall\n.globl failing_calls_here\nfailing_calls_here:"
                     : "=a"(result)
                     : "a"(number), "D"(registers[REG_RDI]), "S"(registers[REG_RSI]),
                     "d"(registers[REG_RDX]), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

extern char failing_calls_here[];

static void
answer(int number, siginfo_t *information, void *context)
{
    ucontext_t *machine = context;
    greg_t *registers = machine->uc_mcontext.gregs;
    bool fails = false;

    (void)number;
    if (!plan->is_over) {
        plan->seen++;
        fails =
            plan->nth != 0 && (plan->for_ever ? plan->seen >= plan->nth : plan->seen == plan->nth);
        plan->failed += fails;
    }
    registers[REG_RAX] = fails ? -ENOMEM : call_really(information->si_syscall, registers);
}

static bool
filter(long call)
{
    const uintptr_t here = (uintptr_t)failing_calls_here;
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)here, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(here >> 32), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
    };
    struct sock_fprog whole = {sizeof(program) / sizeof(program[0]), program};
    struct sigaction action = {.sa_sigaction = answer, .sa_flags = SA_SIGINFO | SA_NODEFER};

    return sigaction(SIGSYS, &action, NULL) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &whole) == 0;
}
#else
static bool
filter(long call)
{
    (void)call;
    return false;
}
#endif

/* ---- The scenario ---- */

static struct {
    unsigned char *address;
    size_t size;
} objects[OBJECTS];

/* The result of a call: a block, or NULL and ENOMEM. */
static void
note(size_t index, void *block, size_t size)
{
    XA_CHILD_CHECK(errno == (block != NULL ? UNTOUCHED : ENOMEM));
    objects[index].address = block;
    objects[index].size = size;
    if (block == NULL)
        plan->nulls++;
    else
        memset(block, (int)index, size < 100000 ? size : 100000);
}

static void
release(size_t index)
{
    unsigned char *block = objects[index].address;

    if (block == NULL)
        return;
    XA_CHILD_CHECK(block[0] == (unsigned char)index);
    errno = UNTOUCHED;
    call_free(block);
    XA_CHILD_CHECK(errno == UNTOUCHED);
    objects[index].address = NULL;
}

static void
resize(size_t index, size_t size)
{
    unsigned char *block = objects[index].address, *moved;

    if (block == NULL)
        return;
    errno = UNTOUCHED;
    moved = call_realloc(block, size);
    XA_CHILD_CHECK(errno == (moved != NULL ? UNTOUCHED : ENOMEM));
    plan->nulls += moved == NULL;
    XA_CHILD_CHECK((moved != NULL ? moved : block)[0] == (unsigned char)index);
    if (moved != NULL) {
        objects[index].address = moved;
        objects[index].size = size;
    }
}

static void
play(void)
{
    for (size_t i = 0; i < OBJECTS; i++) {
        size_t size = i % 40 == 7 ? 3 * MIB + i : i % 10 == 3 ? 70000 + 100 * i : 1 + i * i / 8;

        errno = UNTOUCHED;
        switch (i % 4) {
        case 0: note(i, call_calloc(1, size), size); break;
        case 1: note(i, call_memalign(64, size), size); break;
        default: note(i, call_malloc(size), size);
        }
    }
    for (size_t i = 0; i < OBJECTS; i += 3)
        resize(i, objects[i].size * 2 + 1);
    for (size_t i = 7; i < OBJECTS; i += 40)
        resize(i, 9 * MIB);
    for (size_t i = 1; i < OBJECTS; i += 2)
        release(i);
    errno = UNTOUCHED;
    (void)malloc_trim(0);
    XA_CHILD_CHECK(errno == UNTOUCHED);
    for (size_t i = 0; i < OBJECTS; i++)
        release(i);
    (void)malloc_trim(0);
}

static int
play_under_plan(void *argument)
{
    (void)argument;
    plan->seen = plan->failed = plan->nulls = 0;
    plan->is_over = false;
    if (!filter(plan->call))
        return 77;
    play();
    /* The host has recovered: nothing fails. */
    plan->is_over = true;
    plan->nulls = 0;
    play();
    XA_CHILD_CHECK(plan->nulls == 0);
    XA_CHILD_CHECK(mallinfo2().uordblks < MIB && mallinfo2().hblkhd < MIB);
    return 0;
}

static void
run(void)
{
    xa_child_call(&child, CHILD_SECONDS, play_under_plan, NULL);
    if (child.exit_code == 77) {
        print_message("skipped: no filter of this kind can be set here\n");
        skip();
    }
    if (child.exit_code != 0)
        print_error("call %lu of system call %ld, %s\n", plan->nth, plan->call,
            plan->for_ever ? "and all that follow" : "alone");
    xa_child_assert_success(&child);
}

static void
let_fail(long call)
{
    if (xa_child_is_instrumented()) {
        print_message("skipped: another malloc is in this one's place\n");
        skip();
    }
    plan->call = call;
    plan->for_ever = false;
    plan->nth = 0;
    run();
    for (plan->nth = 1; plan->nth < RUNS_MAX; plan->nth++) {
        run();
        if (plan->failed == 0)
            break;
    }
    print_message("%lu calls, each of which has failed once\n", plan->nth - 1);
    assert_true(plan->nth > 2 && plan->nth < RUNS_MAX);
    plan->for_ever = true;
    for (plan->nth = 1; plan->nth < RUNS_MAX; plan->nth += 1 + plan->nth / 4) {
        run();
        if (plan->failed == 0)
            break;
    }
}

static void
r11_mappings_that_fail_are_null_and_nothing_is_lost(void **state)
{
    (void)state;
    let_fail(SYS_mmap);
}

static void
r11_mappings_that_cannot_grow_are_no_failure(void **state)
{
    (void)state;
    let_fail(SYS_mremap);
}

static void
r11_memory_that_cannot_be_unmapped_is_kept(void **state)
{
    (void)state;
    let_fail(SYS_munmap);
}

static void
r11_advice_that_is_refused_does_no_harm(void **state)
{
    (void)state;
    let_fail(SYS_madvise);
}

/* ---- Mappings ---- */

/* As many mappings as may be: pages of which every other one may not be written. */
static size_t
use_up_mappings(char **start, size_t count_max)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t count = 0;

    *start = mmap(NULL, 2 * count_max * page, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    XA_CHILD_CHECK(*start != MAP_FAILED);
    while (count < count_max && mprotect(*start + 2 * count * page, page, PROT_READ) == 0)
        count++;
    return count;
}

static int
live_without_mappings(void *argument)
{
    const size_t count_max = *(const size_t *)argument, page = (size_t)sysconf(_SC_PAGESIZE);
    char *start;

    /* What is there already is not enough for all that follows. */
    call_free(call_malloc(100));
    XA_CHILD_CHECK(use_up_mappings(&start, count_max) < count_max);
    plan->nulls = 0;
    play();
    XA_CHILD_CHECK(plan->nulls > 0);
    /* Small objects may come from what is mapped, and the host has it all again in the end. */
    XA_CHILD_CHECK(munmap(start, 2 * count_max * page) == 0);
    plan->nulls = 0;
    play();
    XA_CHILD_CHECK(plan->nulls == 0);
    return 0;
}

static void
r04_without_mappings_left_there_is_no_memory_and_then_there_is(void **state)
{
    size_t count_max = 0;
    FILE *file = fopen("/proc/sys/vm/max_map_count", "r");

    (void)state;
    if (file != NULL && fscanf(file, "%zu", &count_max) != 1)
        count_max = 0;
    if (file != NULL)
        fclose(file);
    if (count_max == 0 || count_max > 300000 || xa_child_is_instrumented()) {
        print_message(
            "skipped: a process may have %zu mappings, or has some of others'\n", count_max);
        skip();
    }
    xa_child_call(&child, CHILD_SECONDS, live_without_mappings, &count_max);
    xa_child_assert_success(&child);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(r04_without_mappings_left_there_is_no_memory_and_then_there_is),
        cmocka_unit_test(r11_mappings_that_fail_are_null_and_nothing_is_lost),
        cmocka_unit_test(r11_mappings_that_cannot_grow_are_no_failure),
        cmocka_unit_test(r11_memory_that_cannot_be_unmapped_is_kept),
        cmocka_unit_test(r11_advice_that_is_refused_does_no_harm),
    };

    xa_child_start_watchdog(400);
    plan = mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (plan == MAP_FAILED)
        return 1;
    return cmocka_run_group_tests(tests, xa_child_check_allocator, NULL);
}
