#!/bin/bash
#
# gxx.sh - g++: C++ with many templates; the program that it makes uses most of the library.
#
# Compared: object files, and what the program prints; the program runs under the preload too.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
need /usr/bin/g++ g++

prepare()
{
    cat >containers.cc <<'EOF'
#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

// Overaligned, so that the aligned forms of operator new are called.
struct alignas(64) Line {
    std::uint64_t words[8];
};

using Value = std::variant<std::int64_t, std::string, std::vector<double>>;

template <typename Map>
std::uint64_t
churn(unsigned seed)
{
    std::mt19937 random(seed);
    Map map;
    for (int i = 0; i < 60000; i++) {
        unsigned key = random() % 20000;
        if (random() % 3 == 0)
            map.erase(key);
        else
            map[key] = std::string(random() % 200, char('a' + key % 26));
    }
    std::uint64_t sum = 0;
    for (const auto &[key, text] : map)
        sum += key * 31 + text.size();
    return sum;
}

std::uint64_t
containers(unsigned seed)
{
    std::uint64_t sum = churn<std::map<unsigned, std::string>>(seed)
        ^ churn<std::unordered_map<unsigned, std::string>>(seed);
    std::mt19937 random(seed);
    std::vector<std::unique_ptr<Line>> lines;
    std::deque<std::shared_ptr<Value>> values;
    std::list<std::set<int>> sets;
    for (int i = 0; i < 20000; i++) {
        lines.push_back(std::make_unique<Line>(Line{{random(), 1, 2, 3, 4, 5, 6, 7}}));
        if (reinterpret_cast<std::uintptr_t>(lines.back().get()) % 64 != 0)
            return 0;
        switch (i % 3) {
        case 0: values.push_back(std::make_shared<Value>(std::int64_t(random()))); break;
        case 1: values.push_back(std::make_shared<Value>(std::string(i % 300, 'q'))); break;
        case 2: values.push_back(std::make_shared<Value>(std::vector<double>(i % 40, 0.5))); break;
        }
        if (i % 100 == 0)
            sets.emplace_back();
        sets.back().insert(int(random() % 1000));
        if (values.size() > 3000)
            values.pop_front();
    }
    std::shuffle(lines.begin(), lines.end(), random);
    lines.resize(lines.size() / 2);
    for (const auto &line : lines)
        sum += line->words[0];
    for (const auto &value : values)
        sum += std::visit([](const auto &v) -> std::uint64_t {
            if constexpr (std::is_integral_v<std::decay_t<decltype(v)>>)
                return v;
            else
                return v.size();
        }, *value);
    for (const auto &set : sets)
        sum = std::accumulate(set.begin(), set.end(), sum);
    return sum;
}
EOF
    cat >text.cc <<'EOF'
#include <algorithm>
#include <cstdint>
#include <iomanip>
#include <locale>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

std::string
text()
{
    std::ostringstream stream;
    stream.imbue(std::locale::classic());
    for (int i = 0; i < 4000; i++)
        stream << std::setw(i % 9) << i << " word" << std::hex << i * i << std::dec << '\n';
    std::string all = stream.str();
    std::regex word("(w)(or)(d[0-9a-f]+)");
    std::vector<std::string> found;
    for (std::sregex_iterator at(all.begin(), all.end(), word), end; at != end; ++at)
        found.push_back((*at)[3]);
    std::sort(found.begin(), found.end());
    std::uint64_t hash = 14695981039346656037u;
    for (const auto &one : found)
        for (char c : one)
            hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
    return std::to_string(found.size()) + " " + std::to_string(hash);
}
EOF
    cat >main.cc <<'EOF'
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <future>
#include <iostream>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

std::uint64_t containers(unsigned);
std::string text();

int
main()
{
    std::vector<std::future<std::uint64_t>> parts;
    for (unsigned seed = 1; seed <= 4; seed++)
        parts.push_back(std::async(std::launch::async, containers, seed));
    std::cout << text() << '\n';
    for (auto &part : parts)
        std::cout << part.get() << '\n';
    // Thousands of exceptions at once in several threads; each is allocated.
    std::atomic<int> caught{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++)
        threads.emplace_back([&caught] {
            for (int j = 0; j < 5000; j++)
                try {
                    throw std::runtime_error(std::string(100, 'e'));
                } catch (const std::exception &) {
                    caught++;
                }
        });
    for (auto &thread : threads)
        thread.join();
    std::cout << "caught " << caught << '\n';
    // What cannot be had must be refused by an exception, or by a null pointer where asked.
    volatile std::size_t too_much = PTRDIFF_MAX;
    try {
        delete[] new char[too_much];
        std::cout << "no exception\n";
    } catch (const std::bad_alloc &) {
        std::cout << "bad_alloc\n";
    }
    std::cout << (new (std::nothrow) char[too_much] == nullptr ? "null" : "not null") << '\n';
}
EOF
}

session()
{
    local file
    cp "$XA_PROGRAMS_FOLDER"/input/*.cc .
    for file in containers text main; do
        under /usr/bin/g++ -std=c++17 -O1 -g -c -o "$file.o" "$file.cc"
    done
    under /usr/bin/g++ -o program containers.o text.o main.o -pthread
    digest ./*.o program
    prove ./program
    under ./program
}

run_program
