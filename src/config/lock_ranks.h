/*
 * lock_ranks.h - the order in which locks are taken, from lock_ranks.def.
 */
#ifndef XA_CONFIG_LOCK_RANKS_H
#define XA_CONFIG_LOCK_RANKS_H

enum xa_lock_rank {
#define LOCK_RANK(name, purpose) XA_LOCK_RANK_##name,
#include "config/lock_ranks.def"
#undef LOCK_RANK
    XA_LOCK_RANKS
};

#endif
