#pragma once

#include <cstddef>
#include <cstdint>

#include "model/jinja/runtime.h"

namespace cloister::model::jinja {

// What an operation takes for each byte of the strings and each item of the lists that it is given.
enum class Price : std::uint8_t {
  kConstant,     // looks at no more than a few bytes or items, or pays for what it looks at itself
  kLookThrough,  // reads or copies them once or twice
  kProperties,   // asks Unicode's tables about each character
  kCaseMapping   // makes a text of its own of each character
};

// The steps of going through `value` once: by its bytes or items, not by what those hold in turn.
// An iterator's items are paid for as they come.
std::uint64_t StepsThrough(const Value& value, Price price);

// Spends what a call takes for the sizes of `self` and all arguments. kOutOfRange where a limit is
// passed.
base::Status Pay(Heap& heap, const Value& self, const Arguments& arguments, Price price);

// A filter (its value is `self`), a test, a method (of `self`) or a global function. To call it is
// to pay: the steps for the sizes of `self` and all arguments are spent before it runs, so that
// none is cheap by oversight; what it does beyond that (comparisons, what lies deeper inside) it
// pays for itself.
template <typename T>
class Priced {
 public:
  using Function = base::Result<T> (*)(Runtime& runtime, const Value& self, Arguments& arguments);

  constexpr Priced() = default;
  constexpr Priced(std::nullptr_t) {}                                     // NOLINT: as of a pointer
  constexpr Priced(Function function, Price price = Price::kLookThrough)  // NOLINT
      : function_(function), price_(price) {}

  base::Result<T> operator()(Runtime& runtime, const Value& self, Arguments& arguments) const {
    CLOISTER_RETURN_IF_ERROR(Pay(runtime.heap(), self, arguments, price_));
    return function_(runtime, self, arguments);
  }
  explicit constexpr operator bool() const { return function_ != nullptr; }
  constexpr bool operator==(std::nullptr_t) const { return function_ == nullptr; }

 private:
  Function function_ = nullptr;
  Price price_ = Price::kLookThrough;
};

using Operation = Priced<Value>;
using TestOperation = Priced<bool>;

}  // namespace cloister::model::jinja
