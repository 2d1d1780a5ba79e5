#pragma once

#include <optional>
#include <string>

#include "model/jinja/frame.h"
#include "model/jinja/iterators.h"

namespace cloister::model::jinja {

struct ForNode;

// The variable `loop` inside a for loop, which also makes the pass over the items.
class Loop final : public Object {
 public:
  // `source` is what is looped over, for its length; a filtered loop has none and gives kMissing.
  // `around`: the variables around a recursive loop, null for any other.
  Loop(Runtime& runtime, const ForNode& node, Ref<Iterator> items, Value source, Ref<Frame> around,
       int depth0);

  const ForNode& node() const { return node_; }
  const Ref<Frame>& around() const { return around_; }
  int depth0() const { return depth0_; }

  // The next item, which becomes the current one.
  base::Result<std::optional<Value>> Next(Runtime& runtime);
  // loop.index and the like; kMissing for a name that it does not have.
  base::Result<Value> Attribute(Runtime& runtime, std::string_view name);
  base::Result<std::int64_t> Length(Runtime& runtime);

  // "<LoopContext 1/3>"
  base::Result<std::string> Text();

  base::Result<Value> Cycle(const Arguments& arguments) const;
  Value Changed(const Arguments& arguments);
  void Empty() override { last_changed_ = Value(); }

 private:
  base::Result<std::optional<Value>> Peek(Runtime& runtime);

  Runtime& runtime_;  // outlives every value
  const ForNode& node_;
  Ref<Iterator> items_;
  Value source_;
  Ref<Frame> around_;
  int depth0_;
  std::int64_t index0_ = -1;
  std::optional<std::int64_t> length_;
  std::optional<Value> after_;  // the next item where it was looked at already
  bool at_end_ = false;
  Value before_, current_;
  Value last_changed_;
};

}  // namespace cloister::model::jinja
