#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cloister::model {

// A regular expression as tokenizer.json writes them: Oniguruma's syntax (its doc/RE) with the
// character properties of Unicode 16.0, run by PCRE2. Immutable, thread-safe.
class Regex {
 public:
  // kDataLoss, naming the pattern, for a broken one; kUnimplemented for syntax that is not read.
  static base::Result<Regex> Make(const std::string& pattern);
  // Matches `text` and nothing else.
  static base::Result<Regex> Literal(std::string_view text);

  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  struct Match {
    std::size_t begin = 0;
    std::size_t end = 0;
  };
  // The matches in a text from left to right: never overlapping, empty ones except right behind
  // another match. The text must be UTF-8 and outlive the search. One whose search exceeds PCRE2's
  // limits has no further matches.
  class Search {
   public:
    Search(const Regex& regex, std::string_view text);
    Search(const Search&) = delete;
    Search& operator=(const Search&) = delete;
    ~Search();
    std::optional<Match> Next();

   private:
    const Regex& regex_;
    std::string_view text_;
    void* data_;  // pcre2_match_data
    std::size_t from_ = 0;
    std::size_t last_end_ = std::string_view::npos;
  };

 private:
  struct Compiled;
  explicit Regex(std::unique_ptr<const Compiled> compiled);
  static base::Result<Regex> Compile(const std::string& translated, const std::string& pattern);
  std::unique_ptr<const Compiled> compiled_;
};

}  // namespace cloister::model
