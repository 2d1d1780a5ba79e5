#pragma once

#include <utility>

#include "model/jinja/interpreter.h"

namespace cloister::model::jinja {

// What the interpreter changes for a while, put back where each of these ends.

class Interpreter::Depth {
 public:
  explicit Depth(Interpreter& interpreter) : depth_(interpreter.depth_) { ++depth_; }
  Depth(const Depth&) = delete;
  Depth& operator=(const Depth&) = delete;
  ~Depth() { --depth_; }

 private:
  int& depth_;
};

class Interpreter::InFrame {
 public:
  InFrame(Interpreter& interpreter, Ref<Frame> frame)
      : interpreter_(interpreter), outer_(std::exchange(interpreter.frame_, std::move(frame))) {}
  InFrame(const InFrame&) = delete;
  InFrame& operator=(const InFrame&) = delete;
  ~InFrame() { interpreter_.frame_ = std::move(outer_); }

 private:
  Interpreter& interpreter_;
  Ref<Frame> outer_;
};

// Output goes here instead of to the text.
class Interpreter::Captured {
 public:
  explicit Captured(Interpreter& interpreter)
      : interpreter_(interpreter), sink_(interpreter.heap_), outer_(interpreter.sink_) {
    interpreter_.sink_ = &sink_;
  }
  Captured(const Captured&) = delete;
  Captured& operator=(const Captured&) = delete;
  ~Captured() { Stop(); }

  void Stop() { interpreter_.sink_ = outer_; }
  Value Take() {
    Stop();
    return MakeString(interpreter_.heap_, sink_.Take());
  }

 private:
  Interpreter& interpreter_;
  TextSink sink_;
  TextSink* outer_;
};

}  // namespace cloister::model::jinja
