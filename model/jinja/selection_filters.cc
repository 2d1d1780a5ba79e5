#include <algorithm>

#include "model/jinja/attribute_path.h"
#include "model/jinja/filters.h"
#include "model/jinja/iterators.h"
#include "model/jinja/registry.h"

namespace cloister::model::jinja {
namespace {

int DepthOf(const Value& source, const Arguments& arguments) {
  int depth = source.depth();
  for (const Value& value : arguments.positional) depth = std::max(depth, value.depth());
  for (const auto& [name, value] : arguments.named) depth = std::max(depth, value.depth());
  return depth + 1;
}

// The items that a filter gives one by one. As in Jinja nothing is looked at, not even the
// arguments, before the first is asked for.
class LazyItems : public Iterator {
 public:
  LazyItems(Heap& heap, Value source, Arguments arguments)
      : Iterator(heap, DepthOf(source, arguments)),
        arguments_(std::move(arguments)),
        source_(std::move(source)) {}

  base::Result<std::optional<Value>> Next(Runtime& runtime) final {
    if (!started_) {
      started_ = true;
      if (Truth(source_)) {
        CLOISTER_RETURN_IF_ERROR(Start(runtime));
        CLOISTER_ASSIGN_OR_RETURN(items_, Iterate(runtime, source_));
      }
    }
    while (items_) {
      runtime.heap().Spend(1);
      CLOISTER_RETURN_IF_ERROR(runtime.heap().Check());
      CLOISTER_ASSIGN_OR_RETURN(const std::optional<Value> item, items_->Next(runtime));
      if (!item) break;
      CLOISTER_ASSIGN_OR_RETURN(std::optional<Value> result, Treat(runtime, *item));
      if (result) return result;
    }
    return std::optional<Value>();
  }

 protected:
  virtual base::Status Start(Runtime& runtime) = 0;
  // What is given for an item; empty where it is left out.
  virtual base::Result<std::optional<Value>> Treat(Runtime& runtime, const Value& item) = 0;

  Arguments arguments_;

 private:
  Value source_;
  bool started_ = false;
  Ref<Iterator> items_;
};

// map("filter", …) or map(attribute="name", default=…).
class Mapped final : public LazyItems {
 public:
  using LazyItems::LazyItems;

 private:
  base::Status Start(Runtime& runtime) override {
    const auto named = [this](std::string_view name) {
      return std::find_if(arguments_.named.begin(), arguments_.named.end(),
                          [&](const auto& argument) { return argument.first == name; });
    };
    const auto attribute = named("attribute");
    if (arguments_.positional.empty() && attribute != arguments_.named.end()) {
      CLOISTER_ASSIGN_OR_RETURN(path_, AttributePath::Make(runtime.heap(), attribute->second));
      arguments_.named.erase(attribute);
      if (const auto otherwise = named("default"); otherwise != arguments_.named.end()) {
        otherwise_ = otherwise->second;
        arguments_.named.erase(otherwise);
      }
      if (arguments_.named.empty()) return {};
      return Fault("map() got an unexpected keyword argument '" + arguments_.named[0].first + "'");
    }
    if (arguments_.positional.empty()) return Fault("map() needs the name of a filter");
    const Value name = arguments_.positional[0];
    arguments_.positional.erase(arguments_.positional.begin());
    filter_ = name.is(Kind::kString) ? FindFilter(Text(name)) : nullptr;
    if (filter_ == nullptr) return Fault("map() names no filter that there is");
    return {};
  }

  base::Result<std::optional<Value>> Treat(Runtime& runtime, const Value& item) override {
    Arguments arguments = arguments_;
    base::Result<Value> result =
        path_ ? path_->Of(runtime, item, otherwise_) : filter_(runtime, item, arguments);
    if (!result) return base::Forward(std::move(result));
    return std::optional<Value>(*std::move(result));
  }

  std::optional<AttributePath> path_;
  Value otherwise_;
  Operation filter_;
};

// select, reject, selectattr and rejectattr.
class Selected final : public LazyItems {
 public:
  Selected(Heap& heap, Value source, Arguments arguments, bool keeps, bool by_attribute)
      : LazyItems(heap, std::move(source), std::move(arguments)),
        keeps_(keeps),
        by_attribute_(by_attribute) {}

 private:
  base::Status Start(Runtime& runtime) override {
    auto& positional = arguments_.positional;
    if (by_attribute_) {
      if (positional.empty()) return Fault("the name of an attribute is missing");
      CLOISTER_ASSIGN_OR_RETURN(path_, AttributePath::Make(runtime.heap(), positional[0]));
      positional.erase(positional.begin());
    }
    if (positional.empty()) return {};
    const Value name = positional[0];
    positional.erase(positional.begin());
    test_ = name.is(Kind::kString) ? FindTest(Text(name)) : nullptr;
    return test_ == nullptr ? Fault("there is no test of this name") : base::Status();
  }

  base::Result<std::optional<Value>> Treat(Runtime& runtime, const Value& item) override {
    Value tested = item;
    if (path_) {
      CLOISTER_ASSIGN_OR_RETURN(tested, path_->Of(runtime, item));
    }
    bool holds = Truth(tested);
    if (test_) {
      Arguments arguments = arguments_;
      CLOISTER_ASSIGN_OR_RETURN(holds, test_(runtime, tested, arguments));
    }
    return holds == keeps_ ? std::optional(item) : std::optional<Value>();
  }

  bool keeps_, by_attribute_;
  std::optional<AttributePath> path_;
  TestOperation test_;
};

base::Result<Value> Map(Runtime& runtime, const Value& value, Arguments& arguments) {
  return Value(new Mapped(runtime.heap(), value, std::move(arguments)));
}

template <bool keeps, bool by_attribute>
base::Result<Value> Select(Runtime& runtime, const Value& value, Arguments& arguments) {
  return Value(new Selected(runtime.heap(), value, std::move(arguments), keeps, by_attribute));
}

}  // namespace

Operations SelectionFilters() {
  static constexpr NamedOperation kFilters[] = {
      {"map", {Map, Price::kConstant}},
      {"reject", {Select<false, false>, Price::kConstant}},
      {"rejectattr", {Select<false, true>, Price::kConstant}},
      {"select", {Select<true, false>, Price::kConstant}},
      {"selectattr", {Select<true, true>, Price::kConstant}},
  };
  static_assert(IsSorted(kFilters));
  return kFilters;
}

}  // namespace cloister::model::jinja
