#!/bin/bash
#
# rocksdb-nodump.sh - RocksDB with a block cache in a jemalloc arena of its own, kept out of dumps.
#
# Debian's librocksdb is built without its JemallocNodumpAllocator, so the program below has one
# that makes the same calls: it looks for jemalloc by weak symbols, creates an arena, puts a hook
# before the one that it finds there, and gives each thread an explicit cache.  RocksDB's blocks are
# in it.
# The program is linked to libjemalloc, and must find the same to be true there.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
need /usr/include/rocksdb/memory_allocator.h librocksdb-dev
need /usr/include/jemalloc/jemalloc.h libjemalloc-dev
need /usr/bin/g++ g++
takes_place_of=libjemalloc.so.2

prepare()
{
    cat >nodump.cc <<'EOF'
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/memory_allocator.h>
#include <rocksdb/statistics.h>
#include <rocksdb/table.h>

#include <sys/mman.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

/* A program that may have to do without jemalloc declares what it wants of it weak. */
extern "C" {
#include <jemalloc/jemalloc.h>
#pragma weak mallocx
#pragma weak rallocx
#pragma weak xallocx
#pragma weak sallocx
#pragma weak dallocx
#pragma weak sdallocx
#pragma weak nallocx
#pragma weak mallctl
#pragma weak mallctlnametomib
#pragma weak mallctlbymib
#pragma weak malloc_stats_print
}

static void
check(const char *what, bool holds)
{
    std::printf("%s: %s\n", what, holds ? "yes" : "no");
    if (!holds) {
        std::fflush(stdout);
        std::_Exit(1);
    }
}

static bool
has_jemalloc()
{
    return mallocx != nullptr && rallocx != nullptr && xallocx != nullptr && sallocx != nullptr &&
        dallocx != nullptr && sdallocx != nullptr && nallocx != nullptr && mallctl != nullptr &&
        mallctlnametomib != nullptr && mallctlbymib != nullptr && malloc_stats_print != nullptr;
}

template <typename T>
static T
read_control(const std::string &name)
{
    T value = 0;
    size_t bytes = sizeof value;
    if (mallctl(name.c_str(), &value, &bytes, nullptr, 0) != 0 || bytes != sizeof value)
        check(("control " + name).c_str(), false);
    return value;
}

/* The hooks that the arena had, and every range that they gave. */
static std::atomic<extent_alloc_t *> original_alloc{nullptr};
static struct { uintptr_t start; size_t bytes; } ranges[4096];
static std::atomic<unsigned> range_count{0};

class Nodump : public rocksdb::MemoryAllocator {
public:
    Nodump()
    {
        size_t bytes = sizeof arena;
        check("arenas.create", mallctl("arenas.create", &arena, &bytes, nullptr, 0) == 0);
        std::string key = name("extent_hooks");
        extent_hooks_t *found = nullptr;
        bytes = sizeof found;
        check("hooks are read", mallctl(key.c_str(), &found, &bytes, nullptr, 0) == 0);
        check("the hook can be called", found != nullptr && found->alloc != nullptr);
        original_alloc = found->alloc;
        hooks = *found;
        hooks.alloc = &Nodump::alloc_hook;
        extent_hooks_t *ours = &hooks;
        check("hooks are set", mallctl(key.c_str(), nullptr, nullptr, &ours, sizeof ours) == 0);
        check("hooks are ours", read_control<extent_hooks_t *>(key) == &hooks);
    }

    ~Nodump() override
    {
        for (unsigned cache : caches)
            check("tcache.destroy",
                mallctl("tcache.destroy", nullptr, nullptr, &cache, sizeof cache) == 0);
        check("arena.destroy", mallctl(name("destroy").c_str(), nullptr, nullptr, nullptr, 0) == 0);
    }

    const char *Name() const override { return "Nodump"; }

    void *Allocate(size_t size) override
    {
        return mallocx(size, MALLOCX_ARENA(arena) | cache_flag());
    }

    /* The arena is found by the address. */
    void Deallocate(void *p) override { dallocx(p, cache_flag()); }

    size_t UsableSize(void *p, size_t) const override { return malloc_usable_size(p); }

    /* Live objects, with those in caches. */
    size_t allocated() const
    {
        uint64_t epoch = 1;
        size_t bytes = sizeof epoch;
        mallctl("epoch", &epoch, &bytes, &epoch, sizeof epoch);
        std::string base = "stats.arenas." + std::to_string(arena);
        return read_control<size_t>(base + ".small.allocated") +
            read_control<size_t>(base + ".large.allocated");
    }

    size_t resident() const
    {
        return read_control<size_t>("stats.arenas." + std::to_string(arena) + ".resident");
    }

    std::string name(const char *what) const
    {
        return "arena." + std::to_string(arena) + "." + what;
    }

    void flush_caches()
    {
        for (unsigned cache : caches)
            check("tcache.flush",
                mallctl("tcache.flush", nullptr, nullptr, &cache, sizeof cache) == 0);
    }

    unsigned arena = 0;

private:
    static void *alloc_hook(extent_hooks_t *hooks, void *address, size_t size, size_t alignment,
        bool *zero, bool *commit, unsigned index)
    {
        void *result = original_alloc.load()(hooks, address, size, alignment, zero, commit, index);
        if (result != nullptr && madvise(result, size, MADV_DONTDUMP) == 0) {
            unsigned i = range_count.fetch_add(1);
            if (i < sizeof ranges / sizeof *ranges) {
                ranges[i].start = reinterpret_cast<uintptr_t>(result);
                ranges[i].bytes = size;
            }
        }
        return result;
    }

    int cache_flag()
    {
        static thread_local unsigned cache = UINT_MAX;
        if (cache == UINT_MAX) {
            size_t bytes = sizeof cache;
            if (mallctl("tcache.create", &cache, &bytes, nullptr, 0) != 0)
                check("tcache.create", false);
            std::lock_guard<std::mutex> guard(lock);
            caches.push_back(cache);
        }
        return MALLOCX_TCACHE(cache);
    }

    extent_hooks_t hooks{};
    std::mutex lock;
    std::vector<unsigned> caches;
};

/* Whether the system leaves the page at an address out of dumps: flag `dd` in its mapping. */
static bool
is_not_dumped(uintptr_t address)
{
    std::ifstream maps("/proc/self/smaps");
    std::string line;
    bool is_here = false;
    while (std::getline(maps, line)) {
        unsigned long start, end;
        char next;
        if (std::sscanf(line.c_str(), "%lx-%lx%c", &start, &end, &next) == 3)
            is_here = address >= start && address < end;
        else if (is_here && line.compare(0, 8, "VmFlags:") == 0)
            return line.find(" dd") != std::string::npos;
    }
    return false;
}

static bool
is_in_ranges(const void *p)
{
    uintptr_t address = reinterpret_cast<uintptr_t>(p);
    for (unsigned i = 0; i < range_count; i++)
        if (address >= ranges[i].start && address - ranges[i].start < ranges[i].bytes)
            return true;
    return false;
}

static const int KEYS = 30000;

static std::string
key_of(int i)
{
    char text[16];
    std::snprintf(text, sizeof text, "key%08d", i);
    return text;
}

static std::string
value_of(int i)
{
    std::mt19937 random(i);
    std::string value(700 + i % 600, 0);
    for (char &byte : value)
        byte = static_cast<char>(random());
    return value;
}

static void
check_direct(Nodump *nodump)
{
    for (size_t size : {1, 100, 4000, 5000, 70000, 3 << 20}) {
        void *p = nodump->Allocate(size);
        unsigned index = UINT_MAX;
        size_t bytes = sizeof index;
        std::printf("%zu bytes:\n", size);
        check("  it has them", nodump->UsableSize(p, size) >= size && sallocx(p, 0) >= size);
        check("  as nallocx says", nodump->UsableSize(p, size) == nallocx(size, 0));
        check("  arenas.lookup",
            mallctl("arenas.lookup", &index, &bytes, &p, sizeof p) == 0 && index == nodump->arena);
        std::memset(p, 1, size);
        check("  the hook gave it", is_in_ranges(p));
        check("  it is not dumped", is_not_dumped(reinterpret_cast<uintptr_t>(p)));
        nodump->Deallocate(p);
    }
    void *p = std::malloc(100000);
    check("others are dumped", !is_in_ranges(p) && !is_not_dumped(reinterpret_cast<uintptr_t>(p)));
    std::free(p);
}

static void
read_all(rocksdb::DB *db, int first, std::atomic<int> *wrong)
{
    for (int i = first; i < KEYS; i += 4) {
        std::string value;
        if (!db->Get(rocksdb::ReadOptions(), key_of(i), &value).ok() || value != value_of(i))
            ++*wrong;
    }
}

static rocksdb::DB *
open_and_fill(const std::shared_ptr<rocksdb::Cache> &cache)
{
    rocksdb::BlockBasedTableOptions table;
    table.block_cache = cache;
    rocksdb::Options options;
    options.create_if_missing = true;
    options.compression = rocksdb::kNoCompression;
    options.write_buffer_size = 4 << 20;
    options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    rocksdb::DB *db = nullptr;
    check("open", rocksdb::DB::Open(options, "db", &db).ok());
    rocksdb::WriteOptions quick;
    quick.disableWAL = true;
    for (int i = 0; i < KEYS; i++)
        if (!db->Put(quick, key_of(i), value_of(i)).ok())
            check("put", false);
    check("compact", db->CompactRange(rocksdb::CompactRangeOptions(), nullptr, nullptr).ok());
    return db;
}

static void
run(const std::shared_ptr<Nodump> &nodump)
{
    rocksdb::LRUCacheOptions cache_options;
    cache_options.capacity = 256 << 20;
    cache_options.memory_allocator = nodump;
    std::shared_ptr<rocksdb::Cache> cache = rocksdb::NewLRUCache(cache_options);
    rocksdb::DB *db = open_and_fill(cache);
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++)
        threads.emplace_back(read_all, db, i, &wrong);
    for (std::thread &thread : threads)
        thread.join();
    check("all values are right", wrong == 0);
    size_t used = cache->GetUsage(), allocated = nodump->allocated();
    std::fprintf(stderr, "cache %zu, arena %zu, resident %zu\n", used, allocated,
        nodump->resident());
    check("the cache is full of them", used > size_t{KEYS} * 900);
    check("the arena holds the cache", allocated > used / 10 * 9 && allocated < used / 10 * 13);
    check("resident is no less", nodump->resident() >= allocated);
    /* Ranges that the arena has given back since are no longer there, or are others'. */
    size_t hidden_bytes = 0;
    for (unsigned i = 0; i < range_count && i < sizeof ranges / sizeof *ranges; i++)
        if (is_not_dumped(ranges[i].start))
            hidden_bytes += ranges[i].bytes;
        else
            std::fprintf(stderr, "range %u of %zu at %zx is dumped or gone\n", i, ranges[i].bytes,
                size_t{ranges[i].start});
    check("it came from the hook, and is not dumped", hidden_bytes >= allocated);
    cache->EraseUnRefEntries();
    nodump->flush_caches();
    allocated = nodump->allocated();
    std::fprintf(stderr, "emptied: arena %zu\n", allocated);
    check("the arena is empty with the cache", allocated < used / 10);
    check("purge", mallctl(nodump->name("purge").c_str(), nullptr, nullptr, nullptr, 0) == 0);
    nodump->allocated();
    check("purge has an effect", nodump->resident() < used / 4);
    delete db;
}

int
main(int count, char **)
{
    check("jemalloc is found", has_jemalloc());
    if (count > 1)
        return 0;
    std::shared_ptr<rocksdb::MemoryAllocator> theirs;
    rocksdb::JemallocAllocatorOptions options;
    rocksdb::Status status = rocksdb::NewJemallocNodumpAllocator(options, &theirs);
    std::printf("RocksDB's own: %s\n", status.ToString().c_str());
    auto nodump = std::make_shared<Nodump>();
    unsigned arena = nodump->arena;
    check_direct(nodump.get());
    run(nodump);
    nodump.reset();
    unsigned value = 0;
    size_t bytes = sizeof value;
    std::string gone = "stats.arenas." + std::to_string(arena) + ".nthreads";
    uint64_t epoch = 1;
    size_t epoch_bytes = sizeof epoch;
    check("epoch", mallctl("epoch", &epoch, &epoch_bytes, &epoch, sizeof epoch) == 0);
    check("the arena is gone", mallctl(gone.c_str(), &value, &bytes, nullptr, 0) == ENOENT);
    return 0;
}
EOF
    g++ -std=c++17 -O1 -o nodump nodump.cc -lrocksdb -ljemalloc -pthread
}

session()
{
    prove "$XA_PROGRAMS_FOLDER/input/nodump" detect
    under "$XA_PROGRAMS_FOLDER/input/nodump" 2>figures.log
}

run_program
