#include "cli/inference/score_input.h"

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/file.h"
#include "base/json.h"
#include "cli/inference/model_flags.h"

namespace cloister::cli {
namespace {

constexpr std::size_t kMaxInput = std::size_t{1} << 30;

class LineReader {
 public:
  LineReader(const model::ModelFiles& files, const model::Architecture& architecture)
      : files_(files), architecture_(architecture) {}

  base::Result<std::vector<model::TokenId>> Read(std::string_view line) {
    const auto json = base::ParseJson(line);
    const bool has_ids = json.is_object() && json.contains("ids");
    const bool has_text = json.is_object() && json.contains("text");
    if (json.is_discarded()) return Broken("is no JSON");
    if (has_ids == has_text) return Broken("needs either \"ids\" or \"text\"");
    std::vector<model::TokenId> ids;
    if (has_ids) {
      CLOISTER_ASSIGN_OR_RETURN(ids, Ids(json["ids"]));
    } else {
      CLOISTER_ASSIGN_OR_RETURN(ids, Text(json["text"]));
    }
    if (ids.empty()) return Broken("holds no tokens");
    if (static_cast<std::int64_t>(ids.size()) > architecture_.max_context()) {
      return Broken("holds " + std::to_string(ids.size()) + " tokens, but the model has " +
                    std::to_string(architecture_.max_context()) + " positions");
    }
    return ids;
  }

 private:
  static tl::unexpected<base::Error> Broken(const std::string& what) {
    return base::Fail(base::Code::kDataLoss,
                      what + ": write {\"ids\": [1, 2]} or {\"text\": \"…\"} a line");
  }

  base::Result<std::vector<model::TokenId>> Ids(const nlohmann::json& list) const {
    if (!list.is_array()) return Broken("has \"ids\" that are no list");
    std::vector<model::TokenId> ids;
    for (const nlohmann::json& item : list) {
      // Unsigned numbers may exceed int64; anything else that is no id is refused the same way.
      const bool is_id =
          item.is_number_unsigned() &&
          item.get<std::uint64_t>() < static_cast<std::uint64_t>(architecture_.vocab_size);
      if (!is_id) {
        return Broken("has the id " +
                      item.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) +
                      " outside the vocabulary of " + std::to_string(architecture_.vocab_size));
      }
      ids.push_back(item.get<model::TokenId>());
    }
    return ids;
  }

  base::Result<std::vector<model::TokenId>> Text(const nlohmann::json& text) {
    if (!text.is_string()) return Broken("has a \"text\" that is no string");
    if (tokenizer_ == nullptr) {
      CLOISTER_ASSIGN_OR_RETURN(tokenizer_, files_.LoadTokenizer());
    }
    return EncodeForModel(*tokenizer_, text.get_ref<const std::string&>(), true);
  }

  const model::ModelFiles& files_;
  const model::Architecture& architecture_;
  std::shared_ptr<const model::Tokenizer> tokenizer_;
};

bool IsBlank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

}  // namespace

base::Result<std::vector<std::vector<model::TokenId>>> ReadSequences(
    const std::filesystem::path& path, const model::ModelFiles& files,
    const model::Architecture& architecture) {
  CLOISTER_ASSIGN_OR_RETURN(const std::string text, base::ReadFile(path, kMaxInput));
  LineReader reader(files, architecture);
  std::vector<std::vector<model::TokenId>> sequences;
  std::string_view rest = text;
  for (std::size_t number = 1; !rest.empty(); ++number) {
    const std::size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (IsBlank(line)) continue;
    auto ids = reader.Read(line);
    if (!ids) return base::Annotate(std::move(ids), path.string() + ":" + std::to_string(number));
    sequences.push_back(std::move(*ids));
  }
  return sequences;
}

}  // namespace cloister::cli
