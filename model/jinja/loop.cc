#include "model/jinja/loop.h"

#include "model/jinja/callables.h"
#include "model/jinja/comparison.h"

namespace cloister::model::jinja {

namespace {

base::Result<Value> CallCycle(Runtime&, const Value& self, Arguments& arguments) {
  if (!arguments.named.empty()) return Fault("loop.cycle() takes no keyword arguments");
  return self.as<Loop>().Cycle(arguments);
}

base::Result<Value> CallChanged(Runtime&, const Value& self, Arguments& arguments) {
  if (!arguments.named.empty()) return Fault("loop.changed() takes no keyword arguments");
  return self.as<Loop>().Changed(arguments);
}

}  // namespace

Loop::Loop(Runtime& runtime, const ForNode& node, Ref<Iterator> items, Value source,
           Ref<Frame> around, int depth0)
    : Object(runtime.heap(), Kind::kLoop, sizeof(Loop), items->depth() + 1),
      runtime_(runtime),
      node_(node),
      items_(std::move(items)),
      source_(std::move(source)),
      around_(std::move(around)),
      depth0_(depth0) {
  if (around_) around_->Capture();
}

base::Result<std::optional<Value>> Loop::Peek(Runtime& runtime) {
  if (!after_ && !at_end_) {
    CLOISTER_ASSIGN_OR_RETURN(after_, items_->Next(runtime));
    at_end_ = !after_;
  }
  return after_;
}

base::Result<std::optional<Value>> Loop::Next(Runtime& runtime) {
  CLOISTER_ASSIGN_OR_RETURN(std::optional<Value> item, Peek(runtime));
  if (!item) return item;
  after_.reset();
  ++index0_;
  before_ = std::exchange(current_, *item);
  return item;
}

base::Result<std::int64_t> Loop::Length(Runtime& runtime) {
  if (length_) return *length_;
  const bool has_length = !source_.missing() && !source_.is(Kind::kIterator);
  if (has_length) {
    CLOISTER_ASSIGN_OR_RETURN(length_, jinja::Length(source_));
    return *length_;
  }
  CLOISTER_ASSIGN_OR_RETURN(std::vector<Value> rest, Collect(runtime, Value(items_)));
  length_ = static_cast<std::int64_t>(rest.size()) + index0_ + 1 + (after_ ? 1 : 0);
  CLOISTER_ASSIGN_OR_RETURN(items_, Iterate(runtime, MakeList(heap(), std::move(rest))));
  return *length_;
}

base::Result<Value> Loop::Attribute(Runtime& runtime, std::string_view name) {
  if (name == "index") return Value::Int(index0_ + 1);
  if (name == "index0") return Value::Int(index0_);
  if (name == "first") return Value::Bool(index0_ == 0);
  if (name == "depth") return Value::Int(depth0_ + 1);
  if (name == "depth0") return Value::Int(depth0_);
  if (name == "last") {
    CLOISTER_ASSIGN_OR_RETURN(const auto next, Peek(runtime));
    return Value::Bool(!next);
  }
  if (name == "nextitem") {
    CLOISTER_ASSIGN_OR_RETURN(const auto next, Peek(runtime));
    return next ? *next : MakeUndefined(heap(), "there is no next item");
  }
  if (name == "previtem") {
    return index0_ == 0 ? MakeUndefined(heap(), "there is no previous item") : before_;
  }
  if (name == "cycle") return Value(new Method(heap(), Value(this), CallCycle));
  if (name == "changed") return Value(new Method(heap(), Value(this), CallChanged));
  const bool from_end = name == "revindex" || name == "revindex0";
  if (name != "length" && !from_end) return Value();
  CLOISTER_ASSIGN_OR_RETURN(const std::int64_t length, Length(runtime));
  if (!from_end) return Value::Int(length);
  return Value::Int(length - index0_ - (name == "revindex" ? 0 : 1));
}

base::Result<std::string> Loop::Text() {
  CLOISTER_ASSIGN_OR_RETURN(const std::int64_t length, Length(runtime_));
  return "<LoopContext " + std::to_string(index0_ + 1) + "/" + std::to_string(length) + ">";
}

base::Result<Value> Loop::Cycle(const Arguments& arguments) const {
  const auto count = static_cast<std::int64_t>(arguments.positional.size());
  if (count == 0) return Fault("loop.cycle() has no items");
  return arguments.positional[static_cast<std::size_t>(index0_ % count)];
}

Value Loop::Changed(const Arguments& arguments) {
  Value values = MakeTuple(heap(), arguments.positional);
  if (!last_changed_.missing() && Equal(last_changed_, values)) return Value::Bool(false);
  // The values may hold this loop.
  if (last_changed_.missing()) heap().KeepUntilEnd(this);
  last_changed_ = std::move(values);
  return Value::Bool(true);
}

}  // namespace cloister::model::jinja
