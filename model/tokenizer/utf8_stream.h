#pragma once

#include <string>
#include <string_view>

namespace cloister::model {

// Bytes that come in parts as UTF-8 that comes in parts: a character goes out when it is whole, and
// each longest part of what is no UTF-8 becomes U+FFFD (Unicode 16.0, 3.9, "U+FFFD Substitution of
// Maximal Subparts"), wherever the parts are cut.
class Utf8Stream {
 public:
  // Appends to `text`.
  void Add(std::string_view bytes, std::string& text);
  void Finish(std::string& text);

 private:
  std::string held_;  // the begin of a character, at most three bytes
};

}  // namespace cloister::model
