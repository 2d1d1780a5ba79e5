#include "model/tokenizer/added_tokens.h"

#include <algorithm>
#include <utility>

#include "model/tokenizer/unicode_categories.h"
#include "model/tokenizer/utf8.h"

namespace cloister::model {
namespace {

// The begin of the character that ends at `end`; `end` when that is no UTF-8 or none is there.
std::size_t CharacterBefore(std::string_view text, std::size_t end) {
  for (std::size_t size = 1; size <= 4 && size <= end; ++size) {
    if ((static_cast<unsigned char>(text[end - size]) & 0xc0) == 0x80) continue;
    const Utf8Character found = CharacterAt(text.substr(0, end), end - size);
    return found.valid && found.size == size ? end - size : end;
  }
  return end;
}

bool EndsWithWord(std::string_view text, std::size_t end) {
  const std::size_t begin = CharacterBefore(text, end);
  return begin < end && IsWordCharacter(CharacterAt(text, begin).point);
}

bool BeginsWithWord(std::string_view text, std::size_t at) {
  if (at >= text.size()) return false;
  const Utf8Character next = CharacterAt(text, at);
  return next.valid && IsWordCharacter(next.point);
}

std::size_t SpaceBegin(std::string_view text, std::size_t end, std::size_t least) {
  while (end > least) {
    const std::size_t begin = CharacterBefore(text, end);
    if (begin == end || begin < least || !IsWhiteSpace(CharacterAt(text, begin).point)) break;
    end = begin;
  }
  return end;
}

std::size_t SpaceEnd(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    const Utf8Character next = CharacterAt(text, at);
    if (!next.valid || !IsWhiteSpace(next.point)) break;
    at += next.size;
  }
  return at;
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::erase_if(tokens_, [](const AddedToken& token) { return token.content.empty(); });
  std::stable_sort(tokens_.begin(), tokens_.end(),
                   [](const AddedToken& a, const AddedToken& b) { return a.content < b.content; });
  Build();
}

// Level by level: each node stands for the sorted tokens that share its first bytes.
void AddedTokens::Build() {
  struct Range {
    std::uint32_t node, begin, end, depth;
  };
  nodes_.emplace_back();
  std::vector<Range> open = {{0, 0, static_cast<std::uint32_t>(tokens_.size()), 0}};
  for (std::size_t next = 0; next < open.size(); ++next) {
    const Range range = open[next];
    std::uint32_t at = range.begin;
    while (at < range.end && tokens_[at].content.size() == range.depth) {
      if (nodes_[range.node].token < 0) nodes_[range.node].token = static_cast<std::int32_t>(at);
      ++at;  // of equal contents the first counts
    }
    nodes_[range.node].first_edge = static_cast<std::uint32_t>(edges_.size());
    while (at < range.end) {
      const char byte = tokens_[at].content[range.depth];
      std::uint32_t end = at + 1;
      while (end < range.end && tokens_[end].content[range.depth] == byte) ++end;
      const auto child = static_cast<std::uint32_t>(nodes_.size());
      nodes_.emplace_back();
      edges_.push_back({static_cast<unsigned char>(byte), child});
      ++nodes_[range.node].edges;
      open.push_back({child, at, end, range.depth + 1});
      at = end;
    }
  }
  for (std::uint32_t i = 0; i < nodes_[0].edges; ++i) roots_[edges_[i].byte] = edges_[i].node;
}

const AddedTokens::Node* AddedTokens::Child(const Node& node, unsigned char byte) const {
  const Edge* begin = edges_.data() + node.first_edge;
  const Edge* end = begin + node.edges;
  const Edge* found = std::lower_bound(
      begin, end, byte, [](const Edge& edge, unsigned char b) { return edge.byte < b; });
  return found != end && found->byte == byte ? &nodes_[found->node] : nullptr;
}

std::int32_t AddedTokens::LongestAt(std::string_view text, std::size_t at) const {
  const Node* node = &nodes_[roots_[static_cast<unsigned char>(text[at])]];
  std::int32_t longest = node->token;
  for (std::size_t next = at + 1; next < text.size(); ++next) {
    node = Child(*node, static_cast<unsigned char>(text[next]));
    if (node == nullptr) break;
    if (node->token >= 0) longest = node->token;
  }
  return longest;
}

std::optional<AddedTokens::Found> AddedTokens::Find(std::string_view text, std::size_t from,
                                                    bool read_special) const {
  if (tokens_.empty()) return std::nullopt;
  std::size_t at = from;
  while (at < text.size()) {
    if (roots_[static_cast<unsigned char>(text[at])] == 0) {
      ++at;
      continue;
    }
    const std::int32_t longest = LongestAt(text, at);
    if (longest < 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[static_cast<std::size_t>(longest)];
    const std::size_t end = at + token.content.size();
    const bool skipped =
        (token.special && !read_special) ||
        (token.single_word && (EndsWithWord(text, at) || BeginsWithWord(text, end)));
    if (skipped) {
      at = end;
      continue;
    }
    return Found{token.lstrip ? SpaceBegin(text, at, from) : at,
                 token.rstrip ? SpaceEnd(text, end) : end, token.id, token.special};
  }
  return std::nullopt;
}

}  // namespace cloister::model
