/*
 * call_stack.c - see call_stack.h.
 *
 * Compilers leave out frame pointers, so a walk along them is a guess; and what libc offers,
 * backtrace(), loads libgcc when it is first called, and allocates.  So this reads the tables
 * that compilers write for exceptions, which are there in C programs too: DWARF's call frame
 * information ("DWARF Debugging Information Format", version 5, 6.4; the form of .eh_frame and
 * .eh_frame_hdr is that of the Linux Standard Base Core Specification, 10.6).
 *
 * Of a function's table three things are asked: where the frame of its caller begins (the CFA),
 * and where the caller's frame pointer and the return address are.  Rules that are expressions,
 * and frames of signal handlers, end the walk: a shorter stack is better than a wrong one.
 *
 * The tables of an address are found by _dl_find_object(), which takes no lock and may be called
 * in the middle of dlopen().  C libraries without it (glibc before 2.35, musl) and processors that
 * are not listed below give empty stacks.
 *
 * Memory is read without a check that it is there: the stack below the walk is the running
 * thread's own, and the walk may only go up, a bounded step at a time.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* _dl_find_object() */
#endif
#include "os/call_stack.h"

#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>
#include <sys/auxv.h>
#include <ucontext.h>

enum {
    STEP_MAX_BYTES = 1 << 20, /* no frame is larger */
    REMEMBERED_MAX = 4,
    INSTRUCTIONS_MAX = 4096,
};

/* DWARF's numbers of three registers. */
enum reg { FRAME_POINTER, STACK_POINTER, RETURN_ADDRESS, REGISTERS };

#if defined(__x86_64__) && !defined(__ILP32__) && defined(DLFO_STRUCT_HAS_EH_DBASE)
enum { IS_KNOWN = 1 };
static const uint8_t numbers[REGISTERS] = {6, 7, 16};

#define CAPTURE(context)                                                             \
    __asm__ volatile("lea 0(%%rip), %0\n\tmov %%rbp, %1\n\tmov %%rsp, %2"            \
                     : "=r"((context).pc), "=r"((context).registers[FRAME_POINTER]), \
                     "=r"((context).registers[STACK_POINTER]))

#define INTERRUPTED(from)                                        \
    {                                                            \
        (uintptr_t)(from)->uc_mcontext.gregs[REG_RIP],           \
        {                                                        \
            (uintptr_t)(from)->uc_mcontext.gregs[REG_RBP],       \
                (uintptr_t)(from)->uc_mcontext.gregs[REG_RSP], 0 \
        }                                                        \
    }
#elif defined(__aarch64__) && defined(DLFO_STRUCT_HAS_EH_DBASE)
enum { IS_KNOWN = 1 };
static const uint8_t numbers[REGISTERS] = {29, 31, 30};

#define CAPTURE(context)                                                             \
    __asm__ volatile("adr %0, .\n\tmov %1, x29\n\tmov %2, sp\n\tmov %3, x30"         \
                     : "=r"((context).pc), "=r"((context).registers[FRAME_POINTER]), \
                     "=r"((context).registers[STACK_POINTER]),                       \
                     "=r"((context).registers[RETURN_ADDRESS]))

#define INTERRUPTED(from)                                                                      \
    {                                                                                          \
        (from)->uc_mcontext.pc,                                                                \
        {                                                                                      \
            (from)->uc_mcontext.regs[29], (from)->uc_mcontext.sp, (from)->uc_mcontext.regs[30] \
        }                                                                                      \
    }
#else
enum { IS_KNOWN = 0 };
static const uint8_t numbers[REGISTERS] = {0};
#define CAPTURE(context) (void)(context)
#define INTERRUPTED(from)         \
    {                             \
        0,                        \
        {                         \
            (uintptr_t)(from) & 0 \
        }                         \
    }
#endif

/* Where a function is, during the walk. */
struct context {
    uintptr_t pc;
    uintptr_t registers[REGISTERS];
};

/* The tables of the file that an address is in. */
struct tables {
    const char *header; /* .eh_frame_hdr */
    const struct link_map *file;
    uintptr_t start, end; /* of the file in memory */
};

#if defined(DLFO_STRUCT_HAS_EH_DBASE)
extern __typeof__(_dl_find_object) _dl_find_object XA_WEAK;

static bool
find_tables(uintptr_t address, struct tables *tables)
{
    struct dl_find_object found;
    if (_dl_find_object == NULL || _dl_find_object((void *)address, &found) != 0)
        return false;
    *tables = (struct tables){found.dlfo_eh_frame, found.dlfo_link_map,
        (uintptr_t)found.dlfo_map_start, (uintptr_t)found.dlfo_map_end};
    return true;
}
#else
static bool
find_tables(uintptr_t address, struct tables *tables)
{
    (void)address;
    (void)tables;
    return false;
}
#endif

/* Of this processor's byte order, as all that is in memory. */
static uint64_t
read_unsigned(const uint8_t **at, unsigned bytes)
{
    const uint8_t *from = *at;
    uint16_t two;
    uint32_t four;
    uint64_t eight;
    *at += bytes;
    switch (bytes) {
    case 2: memcpy(&two, from, 2); return two;
    case 4: memcpy(&four, from, 4); return four;
    default: memcpy(&eight, from, 8); return eight;
    }
}

/* A number of seven bits a byte, the lowest first. */
static uint64_t
read_leb(const uint8_t **at, bool is_signed)
{
    uint64_t value = 0;
    unsigned shift = 0;
    uint8_t byte;
    do {
        byte = *(*at)++;
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
    } while ((byte & 0x80) != 0);
    if (is_signed && shift < 64 && (byte & 0x40) != 0)
        value |= -(UINT64_C(1) << shift);
    return value;
}

static uint64_t
read_uleb(const uint8_t **at)
{
    return read_leb(at, false);
}

static int64_t
read_sleb(const uint8_t **at)
{
    return (int64_t)read_leb(at, true);
}

/* Pointers in tables: the low bits say how long, the next ones from where they count. */
enum { FORM_MASK = 0x0f, FORM_SIGNED = 0x08, BASE_MASK = 0x70, BASE_PLACE = 0x10, OMITTED = 0xff };

static unsigned
bytes_of_form(unsigned encoding)
{
    static const uint8_t bytes[8] = {sizeof(uintptr_t), 0, 2, 4, 8, 0, 0, 0};
    return bytes[encoding & 7];
}

/* A pointer of one of the forms that .eh_frame uses; false for others. */
static bool
read_encoded(const uint8_t **at, unsigned encoding, uintptr_t *value)
{
    unsigned bytes = bytes_of_form(encoding);
    uintptr_t place = (uintptr_t)*at;
    if (bytes == 0 || ((encoding & BASE_MASK) != 0 && (encoding & BASE_MASK) != BASE_PLACE))
        return false;
    uint64_t raw = read_unsigned(at, bytes);
    if ((encoding & FORM_SIGNED) != 0 && bytes < 8 && (raw >> (8 * bytes - 1)) != 0)
        raw |= -(UINT64_C(1) << (8 * bytes));
    *value = (uintptr_t)raw + ((encoding & BASE_MASK) == BASE_PLACE ? place : 0);
    return true;
}

/* The description (FDE) of the function that `pc` is in, by the sorted table; NULL if there is none. */
static const uint8_t *
find_description(const char *header, uintptr_t pc)
{
    enum { VERSION = 1, COUNT_FORM = 0x03, TABLE_FORM = 0x3b };
    struct row {
        int32_t start;
        int32_t description;
    };
    const uint8_t *at = (const uint8_t *)header;
    uintptr_t ignored;
    if (header == NULL || at[0] != VERSION || at[2] != COUNT_FORM || at[3] != TABLE_FORM)
        return NULL;
    unsigned form = at[1];
    at += 4;
    if (form != OMITTED && !read_encoded(&at, form, &ignored))
        return NULL;
    size_t low = 0, high = (size_t)read_unsigned(&at, 4);
    const struct row *rows = (const struct row *)(const void *)at;
    intptr_t offset = (intptr_t)(pc - (uintptr_t)header);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (rows[middle].start <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? NULL : (const uint8_t *)header + rows[low - 1].description;
}

enum rule { SAME, AT_OFFSET, UNDEFINED, UNKNOWN };

struct row {
    unsigned cfa_register; /* DWARF's number */
    int64_t cfa_offset;
    uint8_t rules[REGISTERS];
    int64_t offsets[REGISTERS];
};

/* What a function's program of rules works on. */
struct program {
    uintptr_t pc;    /* asked for */
    uintptr_t start; /* of the function */
    uintptr_t bytes;
    unsigned pointer_form;
    uint64_t code_step;
    int64_t data_step;
    const uint8_t *first, *first_end; /* instructions of the common part (CIE), */
    const uint8_t *own, *own_end;     /* and the function's own */
    bool is_signal;
};

/* The common part; false if it is of a kind that is not known here. */
static bool
read_common(const uint8_t *at, struct program *program)
{
    const uint8_t *end = at + 4;
    uint32_t length = (uint32_t)read_unsigned(&at, 4);
    uintptr_t ignored;
    end += length;
    if (length == 0 || length == UINT32_MAX || read_unsigned(&at, 4) != 0)
        return false;
    unsigned version = *at++;
    const char *letters = (const char *)at;
    at += strlen(letters) + 1;
    program->code_step = read_uleb(&at);
    program->data_step = read_sleb(&at);
    uint64_t column = version == 1 ? *at++ : read_uleb(&at);
    program->pointer_form = 0;
    program->is_signal = false;
    if (column != numbers[RETURN_ADDRESS] || letters[0] != 'z')
        return false;
    uint64_t augmentation = read_uleb(&at);
    const uint8_t *first = at + augmentation;
    for (const char *letter = letters + 1; *letter != '\0'; letter++) {
        switch (*letter) {
        case 'R': program->pointer_form = *at++; break;
        case 'L': at++; break;
        case 'P': {
            unsigned form = *at++;
            if (!read_encoded(&at, form & ~0x80U, &ignored))
                return false;
            break;
        }
        case 'S': program->is_signal = true; break;
        case 'B': break;
        default: return false;
        }
    }
    program->first = first;
    program->first_end = end;
    return true;
}

static bool
read_description(const uint8_t *at, uintptr_t pc, struct program *program)
{
    const uint8_t *end = at + 4;
    uint32_t length = (uint32_t)read_unsigned(&at, 4);
    end += length;
    if (length == 0 || length == UINT32_MAX)
        return false;
    const uint8_t *link = at;
    uint32_t back = (uint32_t)read_unsigned(&at, 4);
    if (back == 0 || !read_common(link - back, program) ||
        !read_encoded(&at, program->pointer_form, &program->start) ||
        !read_encoded(&at, program->pointer_form & FORM_MASK, &program->bytes))
        return false;
    uint64_t augmentation = read_uleb(&at);
    program->own = at + augmentation;
    program->own_end = end;
    program->pc = pc;
    return pc - program->start < program->bytes;
}

static void
set_rule(struct row *row, uint64_t number, enum rule rule, int64_t offset)
{
    for (unsigned i = 0; i < REGISTERS; i++) {
        if (numbers[i] == number) {
            row->rules[i] = (uint8_t)rule;
            row->offsets[i] = offset;
        }
    }
}

static void
restore_rule(struct row *row, const struct row *initial, uint64_t number)
{
    for (unsigned i = 0; i < REGISTERS; i++) {
        if (numbers[i] == number) {
            row->rules[i] = initial->rules[i];
            row->offsets[i] = initial->offsets[i];
        }
    }
}

/* What the instructions work on. */
struct machine {
    struct row row;
    struct row initial; /* after the common part */
    struct row remembered[REMEMBERED_MAX];
    unsigned depth;
    uintptr_t location;
};

enum outcome { GOES_ON, IS_THERE, IS_LOST };

static void
skip_block(const uint8_t **at)
{
    uint64_t length = read_uleb(at);
    *at += length;
}

/* Instructions whose upper two bits are 0 (DWARF 5, table 7.29). */
static enum outcome
run_extended(unsigned code, const uint8_t **at, const struct program *program, struct machine *m)
{
    uint64_t number;
    switch (code) {
    case 0x00: break;                                               /* nop */
    case 0x02: m->location += *(*at)++ * program->code_step; break; /* advance_loc1 */
    case 0x03: m->location += read_unsigned(at, 2) * program->code_step; break;
    case 0x04: m->location += read_unsigned(at, 4) * program->code_step; break;
    case 0x05: /* offset_extended */
        number = read_uleb(at);
        set_rule(&m->row, number, AT_OFFSET, (int64_t)read_uleb(at) * program->data_step);
        break;
    case 0x06: restore_rule(&m->row, &m->initial, read_uleb(at)); break; /* restore_extended */
    case 0x07: set_rule(&m->row, read_uleb(at), UNDEFINED, 0); break;    /* undefined */
    case 0x08: set_rule(&m->row, read_uleb(at), SAME, 0); break;         /* same_value */
    case 0x09:                                                           /* register */
        set_rule(&m->row, read_uleb(at), UNKNOWN, 0);
        (void)read_uleb(at);
        break;
    case 0x0a: /* remember_state */
        if (m->depth == REMEMBERED_MAX)
            return IS_LOST;
        m->remembered[m->depth++] = m->row;
        break;
    case 0x0b: /* restore_state */
        if (m->depth == 0)
            return IS_LOST;
        m->row = m->remembered[--m->depth];
        break;
    case 0x0c: /* def_cfa */
        m->row.cfa_register = (unsigned)read_uleb(at);
        m->row.cfa_offset = (int64_t)read_uleb(at);
        break;
    case 0x0d: m->row.cfa_register = (unsigned)read_uleb(at); break; /* def_cfa_register */
    case 0x0e: m->row.cfa_offset = (int64_t)read_uleb(at); break;    /* def_cfa_offset */
    case 0x0f:                                                       /* def_cfa_expression */
        skip_block(at);
        m->row.cfa_register = UINT32_MAX;
        break;
    case 0x10: /* expression */
    case 0x16: /* val_expression */
        set_rule(&m->row, read_uleb(at), UNKNOWN, 0);
        skip_block(at);
        break;
    case 0x11: /* offset_extended_sf */
        number = read_uleb(at);
        set_rule(&m->row, number, AT_OFFSET, read_sleb(at) * program->data_step);
        break;
    case 0x12: /* def_cfa_sf */
        m->row.cfa_register = (unsigned)read_uleb(at);
        m->row.cfa_offset = read_sleb(at) * program->data_step;
        break;
    case 0x13: m->row.cfa_offset = read_sleb(at) * program->data_step; break;
    case 0x2d: break;                      /* aarch64: the return address's signature changes */
    case 0x2e: (void)read_uleb(at); break; /* GNU_args_size */
    default: return IS_LOST;
    }
    return GOES_ON;
}

/* Run instructions until the one for a place beyond the one asked for. */
static enum outcome
run(const uint8_t *at, const uint8_t *end, const struct program *program, struct machine *m)
{
    enum { ADVANCE = 1, OFFSET = 2, RESTORE = 3 };
    for (unsigned i = 0; at < end && i < INSTRUCTIONS_MAX; i++) {
        unsigned code = *at++, low = code & 0x3f;
        uintptr_t location = m->location;
        enum outcome outcome = GOES_ON;
        switch (code >> 6) {
        case ADVANCE: m->location += low * program->code_step; break;
        case OFFSET:
            set_rule(&m->row, low, AT_OFFSET, (int64_t)read_uleb(&at) * program->data_step);
            break;
        case RESTORE: restore_rule(&m->row, &m->initial, low); break;
        default: outcome = run_extended(low, &at, program, m); break;
        }
        if (outcome == IS_LOST)
            return IS_LOST;
        /* An advance leaves the rules as they are. */
        if (m->location != location && m->location > program->pc)
            return IS_THERE;
    }
    return GOES_ON;
}

/* The rules at the program counter. */
static bool
find_row(const struct program *program, struct row *row)
{
    struct machine machine;
    machine.row = (struct row){.cfa_register = UINT32_MAX};
    machine.initial = machine.row;
    machine.depth = 0;
    machine.location = program->start;
    if (run(program->first, program->first_end, program, &machine) == IS_LOST)
        return false;
    machine.initial = machine.row;
    if (run(program->own, program->own_end, program, &machine) == IS_LOST)
        return false;
    *row = machine.row;
    return true;
}

static bool
load_register(const struct context *context, const struct row *row, uintptr_t cfa, enum reg which,
    uintptr_t *value)
{
    switch (row->rules[which]) {
    case SAME: *value = context->registers[which]; return true;
    case AT_OFFSET:
        memcpy(value, (const void *)(cfa + (uintptr_t)row->offsets[which]), sizeof *value);
        return true;
    default: return false;
    }
}

/* On to the caller; false at the end of the stack, or of what is known of it. */
static bool
step(struct context *context, bool is_return_address)
{
    struct program program;
    struct tables tables;
    struct row row;
    /* A call may be its function's last instruction: look at the call, not behind it. */
    uintptr_t pc = context->pc - is_return_address, cfa = 0;
    if (!find_tables(pc, &tables))
        return false;
    const uint8_t *description = find_description(tables.header, pc);
    if (description == NULL || !read_description(description, pc, &program) || program.is_signal ||
        !find_row(&program, &row))
        return false;
    if (row.cfa_register == numbers[STACK_POINTER])
        cfa = context->registers[STACK_POINTER];
    else if (row.cfa_register == numbers[FRAME_POINTER])
        cfa = context->registers[FRAME_POINTER];
    else
        return false;
    cfa += (uintptr_t)row.cfa_offset;
    uintptr_t before = context->registers[STACK_POINTER];
    if (cfa < before || cfa - before > STEP_MAX_BYTES || cfa % sizeof(void *) != 0)
        return false;
    struct context caller = {.registers[STACK_POINTER] = cfa};
    if (!load_register(context, &row, cfa, RETURN_ADDRESS, &caller.pc))
        return false;
    if (!load_register(context, &row, cfa, FRAME_POINTER, &caller.registers[FRAME_POINTER]))
        caller.registers[FRAME_POINTER] = 0;
    /* Signed return addresses have their signature above what an address needs. */
    if (sizeof caller.pc == 8)
        caller.pc &= (uintptr_t)(UINT64_MAX >> 8);
    caller.registers[RETURN_ADDRESS] = caller.pc;
    bool has_moved = cfa != before || caller.pc != context->pc;
    *context = caller;
    return has_moved && caller.pc != 0;
}

/* The shared library that this is; empty where it is part of the program. */
static void
find_own(struct tables *own)
{
    if (!find_tables((uintptr_t)&xa_call_stack_capture, own) || own->file->l_name == NULL ||
        own->file->l_name[0] == '\0')
        own->start = own->end = 0;
}

XA_NOINLINE unsigned
xa_call_stack_capture(uintptr_t *frames, unsigned capacity)
{
    struct context context = {0};
    struct tables own;
    unsigned count = 0;
    CAPTURE(context);
    if (!IS_KNOWN)
        return 0;
    find_own(&own);
    /* The first step leads out of this function; the next ones are ours as well. */
    for (bool is_first = true; count < capacity && step(&context, !is_first); is_first = false) {
        bool is_own = context.pc - own.start < own.end - own.start;
        if (!is_first && (count > 0 || !is_own))
            frames[count++] = context.pc;
    }
    return count;
}

unsigned
xa_call_stack_capture_interrupted(const void *interrupted, uintptr_t *frames, unsigned capacity)
{
    const ucontext_t *from = interrupted;
    struct context context = INTERRUPTED(from);
    unsigned count = 0;
    if (!IS_KNOWN || capacity == 0)
        return 0;
    frames[count++] = context.pc;
    while (count < capacity && step(&context, count > 1))
        frames[count++] = context.pc;
    return count;
}

void
xa_call_stack_put_place(uintptr_t address, struct xa_text *text)
{
    struct tables tables;
    if (!find_tables(address, &tables))
        return;
    const char *name = tables.file->l_name;
    /* The program itself has no name there. */
    if (name == NULL || name[0] == '\0')
        name = (const char *)(uintptr_t)getauxval(AT_EXECFN);
    xa_text_put_string(text, name != NULL ? name : "program");
    xa_text_put_char(text, '+');
    xa_text_put_hex(text, address - tables.file->l_addr);
}
