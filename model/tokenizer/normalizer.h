#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace cloister::model {

// Unicode normalization (UAX #15).
enum class UnicodeForm { kNfc, kNfd, kNfkc, kNfkd };

struct ReplaceStep {
  std::string pattern;
  bool regex = false;  // in Oniguruma's syntax; else the text itself
  std::string content;
  bool operator==(const ReplaceStep&) const = default;
};
// Puts `text` before a text that is not empty.
struct PrependStep {
  std::string text;
  bool operator==(const PrependStep&) const = default;
};
struct LowercaseStep {
  bool operator==(const LowercaseStep&) const = default;
};
// Takes white space from the ends.
struct StripStep {
  bool left = true;
  bool right = true;
  bool operator==(const StripStep&) const = default;
};
// Takes combining marks away.
struct StripAccentsStep {
  bool operator==(const StripAccentsStep&) const = default;
};
using NormalizerStep =
    std::variant<UnicodeForm, ReplaceStep, PrependStep, LowercaseStep, StripStep, StripAccentsStep>;

// Changes text before it is cut, step by step. Immutable, thread-safe.
class Normalizer {
 public:
  static base::Result<Normalizer> Make(const std::vector<NormalizerStep>& steps);

  Normalizer(Normalizer&&) noexcept;
  Normalizer& operator=(Normalizer&&) noexcept;
  ~Normalizer();

  bool empty() const { return steps_.empty(); }
  // Bytes that are no UTF-8 stay as they are: the text on either side of them is normalized on its
  // own.
  std::string Apply(std::string_view text) const;

  class Step;

 private:
  Normalizer();
  std::vector<std::unique_ptr<const Step>> steps_;
};

}  // namespace cloister::model
