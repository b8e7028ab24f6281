/*
 * smaps.h - the kernel's account of this process's mappings.
 */
#ifndef XA_OS_SMAPS_H
#define XA_OS_SMAPS_H

#include <stddef.h>
#include <stdint.h>

/*
 * Bytes in huge pages in mappings that begin at `low` or above and below `high`; 0 if the
 * system does not tell.  Takes long in large processes.
 */
size_t xa_smaps_huge_page_bytes(uintptr_t low, uintptr_t high);

#endif
