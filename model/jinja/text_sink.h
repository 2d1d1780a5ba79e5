#pragma once

#include <string>
#include <string_view>

#include "model/jinja/heap.h"

namespace cloister::model::jinja {

// Text that is being written, charged to the heap while it is here.
class TextSink {
 public:
  explicit TextSink(Heap& heap) : heap_(heap) {}
  TextSink(const TextSink&) = delete;
  TextSink& operator=(const TextSink&) = delete;
  ~TextSink() { heap_.Release(text_.size()); }

  void Write(std::string_view text) {
    heap_.Charge(text.size());
    text_ += text;
  }
  std::string Take() {
    heap_.Release(text_.size());
    std::string text = std::move(text_);
    text_.clear();
    return text;
  }

 private:
  Heap& heap_;
  std::string text_;
};

}  // namespace cloister::model::jinja
