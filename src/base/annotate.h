/*
 * annotate.h - what the compiler and the thread-safety checker are told.
 *
 * Every compiler attribute and every compile-time constant that depends on the
 * build has its one definition here; elsewhere there is no `#if`, only `if` on
 * these constants.
 */
#ifndef XA_BASE_ANNOTATE_H
#define XA_BASE_ANNOTATE_H

#define XA_MUST_USE __attribute__((warn_unused_result))
#define XA_NOINLINE __attribute__((noinline))
#define XA_INLINE static inline __attribute__((always_inline))
#define XA_COLD __attribute__((cold, noinline))
#define XA_HOT __attribute__((hot))
#define XA_NORETURN __attribute__((noreturn))
#define XA_EXPORT __attribute__((visibility("default")))
/* On a declaration that the fast path uses: compilers then know that it is in this library. */
#define XA_HIDDEN __attribute__((visibility("hidden")))
#define XA_WEAK __attribute__((weak))
#define XA_ALIAS(name) __attribute__((alias(#name)))
/*
 * A second name for a public function, as libc has some.  None in a build with a prefix, where
 * libc keeps its own (Makefile.am).
 */
#if defined(XA_PREFIXED)
#define XA_SECOND_NAME(type, name, arguments, function) type function arguments
#else
#define XA_SECOND_NAME(type, name, arguments, function) type name arguments XA_ALIAS(function)
#endif
#define XA_CACHE_ALIGNED __attribute__((aligned(64)))
/* For large zeroed variables: linkers put common ones behind all others, which so share fewer pages. */
#define XA_BULKY __attribute__((common, aligned(64)))
#define XA_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define XA_UNLIKELY(condition) __builtin_expect(!!(condition), 0)

/* One initial-exec pointer is all the static TLS that the library uses. */
#define XA_THREAD_LOCAL _Thread_local __attribute__((tls_model("initial-exec")))

/* The structure that contains `member` at `pointer`. */
#define XA_CONTAINER_OF(pointer, type, member) \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/*
 * On the declaration of our exchange of a byte: where the compiler has none and calls libatomic's,
 * ours takes its name.
 */
#if defined(__GCC_HAVE_SYNC_COMPARE_AND_SWAP_1)
#define XA_COMPILER_EXCHANGES_BYTE
#else
#define XA_COMPILER_EXCHANGES_BYTE __asm__("__atomic_exchange_1") XA_HIDDEN
#endif

/* Clang's thread-safety analysis; nothing for other compilers. */
#if defined(__clang__)
#define XA_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define XA_THREAD_ANNOTATION(x)
#endif
#define XA_CAPABILITY(name) XA_THREAD_ANNOTATION(capability(name))
#define XA_REQUIRES(...) XA_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define XA_EXCLUDES(...) XA_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))
#define XA_ACQUIRES(...) XA_THREAD_ANNOTATION(acquire_capability(__VA_ARGS__))
#define XA_TRY_ACQUIRES(...) XA_THREAD_ANNOTATION(try_acquire_capability(__VA_ARGS__))
#define XA_RELEASES(...) XA_THREAD_ANNOTATION(release_capability(__VA_ARGS__))
#define XA_NO_ANALYSIS XA_THREAD_ANNOTATION(no_thread_safety_analysis)

enum {
#if defined(XA_ENABLE_DEBUG) && XA_ENABLE_DEBUG
    XA_DEBUG = 1,
#else
    XA_DEBUG = 0,
#endif
    XA_BIG_ENDIAN = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__,
#if defined(__SANITIZE_THREAD__)
    XA_THREAD_SANITIZER = 1,
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
    XA_THREAD_SANITIZER = 1,
#else
    XA_THREAD_SANITIZER = 0,
#endif
#else
    XA_THREAD_SANITIZER = 0,
#endif
};

#endif
