#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizer.h"

namespace cloister::model {

// A token that stands in text as it is written, never made by merges.
struct AddedToken {
  std::string content;
  TokenId id = 0;
  bool special = false;      // plain text where special tokens are not read
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // and behind it
  bool single_word = false;  // only where no character of a word stands beside it
};

// Finds added tokens in a text, as Hugging Face's tokenizers do: from left to right, at each place
// the longest, in time linear in the text for tokens of bounded length. Immutable once built, then
// thread-safe.
class AddedTokens {
 public:
  explicit AddedTokens(std::vector<AddedToken> tokens);

  bool empty() const { return tokens_.empty(); }

  struct Found {
    std::size_t begin = 0;
    std::size_t end = 0;
    TokenId id = 0;
    bool special = false;
  };
  // The next token in text that begins at or after `from`, behind which the search goes on. A
  // special token that is not to be read is still one thing: no other is found within it.
  std::optional<Found> Find(std::string_view text, std::size_t from, bool read_special) const;

 private:
  // A trie of the contents. Edges of a node are sorted by byte.
  struct Edge {
    unsigned char byte = 0;
    std::uint32_t node = 0;
  };
  struct Node {
    std::uint32_t first_edge = 0;
    std::uint32_t edges = 0;
    std::int32_t token = -1;  // index of the token that ends here
  };
  void Build();
  const Node* Child(const Node& node, unsigned char byte) const;
  // The longest token at `at`: its index, or -1.
  std::int32_t LongestAt(std::string_view text, std::size_t at) const;

  std::vector<AddedToken> tokens_;  // sorted by content
  std::vector<Node> nodes_;
  std::vector<Edge> edges_;
  std::array<std::uint32_t, 256> roots_ = {};  // nodes of the first bytes, 0 without
};

}  // namespace cloister::model
