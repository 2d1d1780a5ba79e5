#pragma once

#include <utility>
#include <vector>

#include "model/jinja/value.h"

namespace cloister::model::jinja {

// The variables of one run of a template, a macro or a recursive loop: a slot for each variable
// that the resolver found in it, kMissing until set.
class Frame final : public Object {
 public:
  Frame(Heap& heap, std::size_t slots, Ref<Frame> parent)
      : Object(heap, Kind::kFrame, sizeof(Frame) + slots * sizeof(Value)),
        slots_(slots),
        parent_(std::move(parent)) {}

  // `hops` frames out.
  Value& At(int hops, int slot) {
    Frame* frame = this;
    for (; hops > 0; --hops) frame = frame->parent_.get();
    return frame->slots_[static_cast<std::size_t>(slot)];
  }

  // To be called before something that outlives the frame's use refers to it: it may then be
  // reached from its own variables.
  void Capture() {
    if (!std::exchange(captured_, true)) heap().KeepUntilEnd(this);
  }
  void Empty() override {
    for (Value& slot : slots_) slot = Value();
  }

 private:
  std::vector<Value> slots_;
  Ref<Frame> parent_;
  bool captured_ = false;
};

}  // namespace cloister::model::jinja
