#include "trainer/data/row_key.h"

#include <algorithm>
#include <string>

#include "base/split_mix.h"
#include "security/primitives.h"

namespace cloister::trainer {
namespace {

// FNV-1a (Fowler, Noll, Vo).
constexpr std::uint64_t kBasis = 0xcbf29ce484222325U, kPrime = 0x100000001b3U;

// Of a word: ASCII letters in lower case and digits, and whatever is no ASCII.
bool OfWord(unsigned char& c) {
  if (c >= 'A' && c <= 'Z') c = static_cast<unsigned char>(c - 'A' + 'a');
  return c >= 0x80 || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

}  // namespace

void RowWords::Add(std::string_view text) {
  std::uint64_t word = kBasis;
  const auto end_word = [&] {
    if (word == kBasis) return;
    first_ += base::SplitMix(word);
    second_ += base::SplitMix(word ^ base::kSplitMixStep);
    ++count_;
    word = kBasis;
  };
  for (const char byte : text) {
    auto c = static_cast<unsigned char>(byte);
    if (OfWord(c)) {
      word = (word ^ c) * kPrime;
    } else {
      end_word();
    }
  }
  end_word();
}

void RowWords::AddAll(const nlohmann::ordered_json& value) {
  if (value.is_string()) {
    Add(value.get_ref<const std::string&>());
  } else if (value.is_number() || value.is_boolean()) {
    Add(value.dump());
  } else if (value.is_structured()) {
    for (const nlohmann::ordered_json& part : value) AddAll(part);
  }
}

std::optional<RowKey> RowWords::Finish() const {
  if (count_ == 0) return std::nullopt;
  security::Sha256 hash;
  hash.Update("row:");
  for (const std::uint64_t number : {first_, second_, count_}) {
    hash.Update(std::to_string(number) + ":");
  }
  const security::Sha256Digest digest = hash.Finish();
  RowKey key;
  std::copy_n(digest.begin(), key.size(), key.begin());
  return key;
}

}  // namespace cloister::trainer
