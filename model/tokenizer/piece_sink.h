#pragma once

#include <string_view>

namespace cloister::model {

// Takes the pieces of a text in order. A piece is valid during the call.
class PieceSink {
 public:
  virtual ~PieceSink() = default;
  // `begins`: nothing of the whole input stands before the piece.
  virtual void Add(std::string_view piece, bool begins) = 0;
};

}  // namespace cloister::model
