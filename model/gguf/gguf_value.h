#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace cloister::model {

// Values of GGUF metadata. Strings are views into the file's bytes.
struct GgufNested;
using GgufStrings = std::vector<std::string_view>;
using GgufIntegers = std::vector<std::int64_t>;   // also of bools
using GgufUnsigned = std::vector<std::uint64_t>;  // where some number does not fit the above
using GgufFloats = std::vector<double>;
using GgufValue =
    std::variant<std::uint64_t, std::int64_t, double, bool, std::string_view, GgufStrings,
                 GgufIntegers, GgufUnsigned, GgufFloats, std::shared_ptr<const GgufNested>>;
using GgufValues = std::map<std::string, GgufValue, std::less<>>;

// An array of arrays.
struct GgufNested {
  std::vector<GgufValue> arrays;
};

}  // namespace cloister::model
