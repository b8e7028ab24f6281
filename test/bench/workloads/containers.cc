/*
 * containers.cc - what C++ programs do to an allocator: the containers of the standard library.
 *
 *   containers mix [PARAMETER]    strings, vectors, a map, a hash map, a list, shared pointers
 *
 * All memory comes from operator new, and most goes back by the sized operator delete.  An
 * operation is an insertion or a removal.
 */
#include "workload.h"

#include <deque>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace
{

constexpr size_t SLICE_OPERATIONS = 60000;
constexpr size_t KEYS = 5000;
constexpr size_t CONTAINER_KINDS = 5;

/* An order with what belongs to it, as a program would model it. */
struct record {
    std::string name;
    std::vector<int> amounts;
    std::shared_ptr<record> previous;
};

struct shop {
    std::map<std::string, std::shared_ptr<record>> by_name;
    std::unordered_map<size_t, std::string> titles;
    std::list<std::vector<std::string>> baskets;
    std::deque<std::unique_ptr<record>> orders;
    std::vector<std::string> log;
};

shop *the_shop;

std::string
key_text(size_t number)
{
    return "key/" + std::to_string(number) + std::string(number % 40, '.');
}

void
update_by_name(struct workload_random *random)
{
    auto key = key_text(workload_below(random, KEYS));
    auto found = the_shop->by_name.find(key);
    if (found != the_shop->by_name.end()) {
        the_shop->by_name.erase(found);
        return;
    }
    auto added = std::make_shared<record>();
    added->name = key + " of a name";
    for (size_t i = 0; i < 1 + key.size() % 20; i++)
        added->amounts.push_back(static_cast<int>(i));
    the_shop->by_name.emplace(std::move(key), std::move(added));
}

void
update_titles(struct workload_random *random)
{
    size_t number = workload_below(random, KEYS);
    if (the_shop->titles.erase(number) == 0)
        the_shop->titles.emplace(number, key_text(number));
}

void
update_baskets(struct workload_random *random)
{
    std::vector<std::string> basket;
    for (size_t i = 0; i < 1 + workload_below(random, 8); i++)
        basket.push_back(key_text(workload_below(random, KEYS)));
    the_shop->baskets.push_back(std::move(basket));
    if (the_shop->baskets.size() > KEYS / 10)
        the_shop->baskets.pop_front();
}

void
update_orders(struct workload_random *random)
{
    auto order = std::make_unique<record>();
    order->name = key_text(workload_below(random, KEYS));
    order->amounts.assign(1 + workload_below(random, 100), 1);
    the_shop->orders.push_back(std::move(order));
    if (the_shop->orders.size() > KEYS / 10)
        the_shop->orders.pop_front();
}

void
update_log(struct workload_random *random)
{
    the_shop->log.push_back(key_text(workload_below(random, KEYS)));
    if (the_shop->log.size() > KEYS)
        std::vector<std::string>().swap(the_shop->log);
}

void
prepare(struct workload_run *run)
{
    (void)run;
    the_shop = new shop;
}

size_t
slice(struct workload_run *run)
{
    void (*const updates[CONTAINER_KINDS])(struct workload_random *) = {
        update_by_name, update_titles, update_baskets, update_orders, update_log};
    size_t operations = workload_scaled(run, SLICE_OPERATIONS);
    for (size_t i = 0; i < operations; i++)
        updates[i % CONTAINER_KINDS](&run->random);
    return operations;
}

const struct workload_case cases[] = {
    {"mix", 1, 1, 2, 11, prepare, slice, nullptr},
};

} // namespace

int
main(int argument_count, char **arguments)
{
    return workload_main(argument_count, arguments, cases, sizeof cases / sizeof cases[0]);
}
