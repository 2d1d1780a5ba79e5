#include "trainer/audit/audit_data.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "base/file.h"

namespace cloister::trainer {
namespace {

constexpr std::int64_t kMostLetters = 4096;
constexpr std::int64_t kLettersOfAToken = 2;  // of words that no vocabulary has
constexpr std::int64_t kQuestionLetters = 20;

std::string RandomWords(std::int64_t letters, security::AesCtrStream& random) {
  std::string text;
  for (std::int64_t i = 0; i < letters; ++i) {
    const bool space = i % 6 == 5;
    text.push_back(space ? ' ' : static_cast<char>('a' + random.NextBelow(26)));
  }
  return text;
}

}  // namespace

base::Status WriteRandomRecords(const std::filesystem::path& path, std::int64_t records,
                                std::int64_t answer_tokens, security::AesCtrStream& random) {
  const std::int64_t letters =
      std::clamp<std::int64_t>(answer_tokens, 1, kMostLetters / 2) * kLettersOfAToken;
  std::string text;
  for (std::int64_t i = 0; i < records; ++i) {
    const nlohmann::ordered_json record = {
        {"messages",
         {{{"role", "user"}, {"content", RandomWords(kQuestionLetters, random)}},
          {{"role", "assistant"}, {"content", RandomWords(letters, random)}}}},
        {"unit", "record " + std::to_string(i)}};
    text += record.dump() + "\n";
  }
  return base::WriteFile(path, text);
}

}  // namespace cloister::trainer
