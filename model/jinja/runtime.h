#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/jinja/objects.h"

namespace cloister::model::jinja {

// What a call brings: f(1, 2, name=3).
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

struct Date {
  int year, month, day;
};

// What filters, tests, methods and functions may use of the template that is being rendered.
class Runtime {
 public:
  virtual ~Runtime() = default;
  virtual Heap& heap() = 0;
  // The date that strftime_now gives; empty for the clock's.
  virtual const std::optional<Date>& today() const = 0;
  // kFailedPrecondition where `callee` is not callable.
  virtual base::Result<Value> Call(const Value& callee, Arguments arguments) = 0;
};

// The arguments by parameter, in `names`' order; kMissing where none was given and the parameter
// is not among the first `required`.
base::Result<std::vector<Value>> Bind(std::string_view function,
                                      std::initializer_list<std::string_view> names,
                                      std::size_t required, const Arguments& arguments);

}  // namespace cloister::model::jinja
