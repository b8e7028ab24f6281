/*
 * fault.h - naming the guarded object that a fault hit.
 */
#ifndef XA_CHECK_FAULT_H
#define XA_CHECK_FAULT_H

/*
 * From now on, and once for a process: a SIGSEGV at a guarded object is reported, and then left
 * to the handler that was there before, or ends the process as it would have.
 */
void xa_fault_watch(void);

#endif
