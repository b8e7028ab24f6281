// templates.cc - what g++ is given to compile: the standard library's larger headers, instantiated.
#include <algorithm>
#include <functional>
#include <future>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

template <int Depth> struct nest {
    using type = std::tuple<typename nest<Depth - 1>::type, std::integral_constant<int, Depth>>;
    std::map<std::string, std::vector<std::array<int, Depth>>> values;
    std::variant<int, std::string, std::array<char, Depth>> choice;

    size_t count() const
    {
        auto visit = [](const auto &value) { return sizeof value; };
        return std::accumulate(values.begin(), values.end(), std::visit(visit, choice),
            [](size_t sum, const auto &pair) { return sum + pair.second.size(); });
    }
};

template <> struct nest<0> {
    using type = int;
    size_t count() const
    {
        return 0;
    }
};

template <int... Depths>
size_t
count_all(std::integer_sequence<int, Depths...>)
{
    return (nest<Depths>().count() + ...) + sizeof(typename nest<sizeof...(Depths)>::type);
}

int
main()
{
    std::regex words("(a+)(b|c)*[0-9]{2,3}");
    std::mt19937 random(7);
    std::vector<std::string> found{"ab12", "aacb345", "x"};
    std::shuffle(found.begin(), found.end(), random);
    std::sort(found.begin(), found.end(), std::greater<>());
    auto matched = std::async([&] {
        return std::count_if(found.begin(), found.end(),
            [&](const std::string &text) { return std::regex_match(text, words); });
    });
    std::cout << count_all(std::make_integer_sequence<int, 24>()) + matched.get() << '\n';
}
