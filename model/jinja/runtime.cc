#include "model/jinja/runtime.h"

#include <algorithm>

namespace cloister::model::jinja {

base::Result<std::vector<Value>> Bind(std::string_view function,
                                      std::initializer_list<std::string_view> names,
                                      std::size_t required, const Arguments& arguments) {
  const std::string name(function);
  if (arguments.positional.size() > names.size()) {
    return Fault(name + "() takes at most " + std::to_string(names.size()) + " arguments, not " +
                 std::to_string(arguments.positional.size()));
  }
  std::vector<Value> bound = arguments.positional;
  bound.resize(names.size());
  for (const auto& [key, value] : arguments.named) {
    const auto found = std::find(names.begin(), names.end(), key);
    if (found == names.end()) {
      return Fault(name + "() got an unexpected keyword argument '" + key + "'");
    }
    Value& slot = bound[static_cast<std::size_t>(found - names.begin())];
    if (!slot.missing()) return Fault(name + "() got multiple values for argument '" + key + "'");
    slot = value;
  }
  for (std::size_t i = 0; i < required; ++i) {
    if (bound[i].missing()) {
      return Fault(name + "() needs the argument '" + std::string(names.begin()[i]) + "'");
    }
  }
  return bound;
}

}  // namespace cloister::model::jinja
