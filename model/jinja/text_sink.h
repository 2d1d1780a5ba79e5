#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "model/jinja/heap.h"

namespace cloister::model::jinja {

// Room for `bytes` more in a text that the heap does not count yet. While a text grows its old and
// its new memory live side by side, so both are asked for before. kOutOfRange where they are not to
// be had.
inline base::Status MakeRoom(const Heap& heap, std::string& text, std::size_t bytes) {
  const std::size_t size = text.size() + bytes;
  if (size <= text.capacity()) return {};
  const std::size_t capacity = std::max(size, 2 * text.capacity());
  CLOISTER_RETURN_IF_ERROR(heap.Admit(text.capacity() + capacity));
  text.reserve(capacity);
  return {};
}

// Text that is being written, counted by the heap while it is here.
class TextSink {
 public:
  explicit TextSink(Heap& heap) : heap_(heap) {}
  TextSink(const TextSink&) = delete;
  TextSink& operator=(const TextSink&) = delete;
  ~TextSink() { heap_.Release(counted_); }

  base::Status Write(std::string_view text) {
    heap_.SpendBytes(text.size());
    const std::size_t size = text_.size() + text.size();
    if (size > counted_) {
      const std::size_t capacity = std::max(size, 2 * counted_);
      CLOISTER_RETURN_IF_ERROR(heap_.Admit(capacity));  // the old memory is counted already
      text_.reserve(capacity);
      heap_.Count(capacity - counted_);
      counted_ = capacity;
    }
    text_ += text;
    return {};
  }
  std::string Take() {
    heap_.Release(counted_);
    counted_ = 0;
    return std::exchange(text_, {});
  }

 private:
  Heap& heap_;
  std::string text_;
  std::size_t counted_ = 0;
};

}  // namespace cloister::model::jinja
