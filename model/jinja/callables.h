#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "model/jinja/frame.h"
#include "model/jinja/operation.h"

namespace cloister::model::jinja {

struct MacroNode;

// A macro, or the body of a call block, with the variables around it.
class Macro final : public Object {
 public:
  Macro(Heap& heap, const MacroNode& node, std::string_view name, Ref<Frame> around)
      : Object(heap, Kind::kMacro, sizeof(Macro)),
        node_(node),
        name_(name),
        around_(std::move(around)) {
    around_->Capture();
  }
  const MacroNode& node() const { return node_; }
  std::string_view name() const { return name_; }  // empty for a call block's
  const Ref<Frame>& around() const { return around_; }

 private:
  const MacroNode& node_;
  std::string_view name_;
  Ref<Frame> around_;
};

// A method that was looked up and not called yet.
class Method final : public Object {
 public:
  Method(Heap& heap, Value self, Operation operation)
      : Object(heap, Kind::kMethod, sizeof(Method), self.depth() + 1),
        self_(std::move(self)),
        operation_(operation) {}
  const Value& self() const { return self_; }
  Operation operation() const { return operation_; }

 private:
  Value self_;
  Operation operation_;
};

// A global function.
class Function final : public Object {
 public:
  Function(Heap& heap, std::string_view name, Operation operation)
      : Object(heap, Kind::kFunction, sizeof(Function)), name_(name), operation_(operation) {}
  std::string_view name() const { return name_; }
  Operation operation() const { return operation_; }

 private:
  std::string_view name_;
  Operation operation_;
};

// cycler(…): gives its items in turn.
class Cycler final : public Object {
 public:
  Cycler(Heap& heap, Value items)
      : Object(heap, Kind::kCycler, sizeof(Cycler), items.depth() + 1), items_(std::move(items)) {}
  const Value& current() const { return Items(items_)[position_]; }
  const Value& items() const { return items_; }
  void Advance() { position_ = (position_ + 1) % Items(items_).size(); }
  void Reset() { position_ = 0; }

 private:
  Value items_;  // a tuple, not empty
  std::size_t position_ = 0;
};

// joiner(…): nothing the first time it is called, its separator from then on.
class Joiner final : public Object {
 public:
  Joiner(Heap& heap, Value separator)
      : Object(heap, Kind::kJoiner, sizeof(Joiner), separator.depth() + 1),
        separator_(std::move(separator)) {}
  Value Call() { return std::exchange(used_, true) ? separator_ : MakeString(heap(), ""); }

 private:
  Value separator_;
  bool used_ = false;
};

}  // namespace cloister::model::jinja
