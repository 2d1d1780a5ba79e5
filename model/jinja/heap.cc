#include "model/jinja/heap.h"

#include <string>

#include "model/jinja/value.h"

namespace cloister::model::jinja {
namespace {

tl::unexpected<base::Error> TooMuchMemory(const Limits& limits) {
  return base::Fail(base::Code::kOutOfRange, "it makes more than " +
                                                 std::to_string(limits.memory_bytes >> 20) +
                                                 " MiB of text and values");
}

}  // namespace

Heap::~Heap() {
  for (Object* object : kept_) object->Empty();
  for (Object* object : kept_) object->Drop();
}

base::Status Heap::Passed() const {
  if (steps_ > limits_.steps) {
    return base::Fail(
        base::Code::kOutOfRange,
        "it takes more than " + std::to_string(limits_.steps) + " steps: it may never end");
  }
  if (live_ > limits_.memory_bytes) return TooMuchMemory(limits_);
  return base::Fail(base::Code::kOutOfRange, "values lie inside one another more than " +
                                                 std::to_string(limits_.value_depth) + " deep");
}

base::Status Heap::Admit(std::uint64_t bytes) const {
  if (bytes > limits_.memory_bytes || live_ > limits_.memory_bytes - bytes) {
    return TooMuchMemory(limits_);
  }
  return {};
}

void Heap::KeepUntilEnd(Object* object) {
  object->Hold();
  kept_.push_back(object);
}

}  // namespace cloister::model::jinja
