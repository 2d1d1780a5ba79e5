#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#include "model/jinja/heap.h"

namespace cloister::model::jinja {

enum class Kind : std::uint8_t {
  kMissing,  // nothing: a variable that was never set, an argument that was not given
  kNone,
  kBool,
  kInt,
  kFloat,
  // From here on a Value holds an Object.
  kUndefined,  // Jinja's Undefined, which knows how it came about
  kBigInt,     // an integer of the input beyond 64 bits: it is printed, not calculated with
  kString,
  kList,
  kTuple,
  kDict,
  kRange,
  kView,      // dict.keys(), .values(), .items()
  kIterator,  // what map, select, reverse, … give: passes once
  kNamespace,
  kMacro,
  kMethod,    // "text".upper, not called yet
  kFunction,  // range, dict, namespace, raise_exception, …
  kLoop,
  kCycler,
  kJoiner,
  kFrame,  // the variables of a template or macro; never a Value's
};

// What lives on a Heap, counted by reference. One thread.
class Object {
 public:
  // `depth`: how deep values lie inside it, 0 for none.
  Object(Heap& heap, Kind kind, std::size_t bytes, int depth = 0)
      : heap_(heap), bytes_(bytes), depth_(depth), kind_(kind) {
    heap_.Charge(bytes_);
    heap_.NoteDepth(depth_);
  }
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  Kind kind() const { return kind_; }
  int depth() const { return depth_; }
  Heap& heap() const { return heap_; }

  void Hold() { ++references_; }
  void Drop() {
    if (--references_ == 0) Destroy();
  }
  // Lets go of every value that it holds.
  virtual void Empty() {}

 protected:
  virtual ~Object() { heap_.Release(bytes_); }
  void Grow(std::size_t bytes) {
    bytes_ += bytes;
    heap_.Charge(bytes);
  }

 private:
  // Elsewhere, because clang's analyzer does not follow the count: where it sees the `delete` it
  // takes any Drop for the last one.
  void Destroy();

  Heap& heap_;
  std::size_t bytes_;
  std::uint32_t references_ = 0;
  int depth_;
  Kind kind_;
};

// A counted pointer to an Object, or null.
template <typename T>
class Ref {
 public:
  Ref() = default;
  explicit Ref(T* object) : object_(object) {
    if (object_ != nullptr) object_->Hold();
  }
  Ref(const Ref& other) : Ref(other.object_) {}
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() {
    if (object_ != nullptr) object_->Drop();
  }

  T* get() const { return object_; }
  T& operator*() const { return *object_; }
  T* operator->() const { return object_; }
  explicit operator bool() const { return object_ != nullptr; }

 private:
  T* object_ = nullptr;
};

// A value of the template language, with Python's meaning. Copies share what they hold; strings,
// lists, tuples and dicts never change once made. Default: kMissing.
class Value {
 public:
  Value() = default;
  explicit Value(Object* object) : kind_(object->kind()) {
    content_.object = object;
    object->Hold();
  }
  template <typename T>
  Value(const Ref<T>& object) : Value(static_cast<Object*>(object.get())) {}  // NOLINT
  Value(const Value& other) : kind_(other.kind_), content_(other.content_) {
    if (holds_object()) content_.object->Hold();
  }
  Value(Value&& other) noexcept
      : kind_(std::exchange(other.kind_, Kind::kMissing)), content_(other.content_) {}
  Value& operator=(Value other) noexcept {
    std::swap(kind_, other.kind_);
    std::swap(content_, other.content_);
    return *this;
  }
  ~Value() {
    if (holds_object()) content_.object->Drop();
  }

  static Value None() { return Value(Kind::kNone, 0); }
  static Value Bool(bool value) { return Value(Kind::kBool, value ? 1 : 0); }
  static Value Int(std::int64_t value) { return Value(Kind::kInt, value); }
  static Value Float(double value) {
    Value result(Kind::kFloat, 0);
    result.content_.real = value;
    return result;
  }

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool missing() const { return kind_ == Kind::kMissing; }
  // bool is an integer, as in Python.
  bool is_integral() const { return kind_ == Kind::kInt || kind_ == Kind::kBool; }
  bool is_number() const { return is_integral() || kind_ == Kind::kFloat; }
  bool holds_object() const { return kind_ >= Kind::kUndefined; }

  // The kind must be the right one.
  bool boolean() const { return content_.integer != 0; }
  std::int64_t integer() const { return content_.integer; }  // also of a bool
  double real() const { return content_.real; }
  double number() const {  // of any number
    return kind_ == Kind::kFloat ? content_.real : static_cast<double>(content_.integer);
  }
  Object* object() const { return content_.object; }
  template <typename T>
  T& as() const {
    return *static_cast<T*>(content_.object);
  }
  int depth() const { return holds_object() ? content_.object->depth() : 0; }

 private:
  Value(Kind kind, std::int64_t integer) : kind_(kind) { content_.integer = integer; }

  Kind kind_ = Kind::kMissing;
  union Content {
    std::int64_t integer = 0;
    double real;
    Object* object;
  } content_;
};

// Python's name of the value's type: "str", "NoneType", "list".
std::string_view TypeName(const Value& value);

// Python's bool(value).
bool Truth(const Value& value);

}  // namespace cloister::model::jinja
