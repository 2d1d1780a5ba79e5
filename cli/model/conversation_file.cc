#include "cli/model/conversation_file.h"

#include <string>
#include <utility>
#include <vector>

#include "base/file.h"

namespace cloister::cli {
namespace {

using base::Code;
using nlohmann::ordered_json;

constexpr std::size_t kMaxFile = std::size_t{16} << 20;
constexpr std::size_t kMaxDepth = 200;
// An ordered object looks through all its keys for each that is added.
constexpr std::size_t kMaxKeys = 4096;

// Looks through a JSON text without building anything.
class Inspector final : public nlohmann::json_sax<ordered_json> {
 public:
  const std::string& problem() const { return problem_; }

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return Open(); }
  bool start_array(std::size_t) override { return Open(); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }
  bool key(string_t&) override {
    return ++keys_.back() <= kMaxKeys ||
           Problem("has an object of more than " + std::to_string(kMaxKeys) + " keys");
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return Problem("is no JSON at byte " + std::to_string(position));
  }

 private:
  bool Open() {
    keys_.push_back(0);
    return keys_.size() <= kMaxDepth ||
           Problem("is nested more than " + std::to_string(kMaxDepth) + " deep");
  }
  bool Close() {
    keys_.pop_back();
    return true;
  }
  bool Problem(std::string text) {
    problem_ = std::move(text);
    return false;
  }

  std::vector<std::size_t> keys_;  // of each object that is open
  std::string problem_;
};

}  // namespace

base::Result<ordered_json> ReadConversation(const std::filesystem::path& path) {
  CLOISTER_ASSIGN_OR_RETURN(const std::string text, base::ReadFile(path, kMaxFile));
  Inspector inspector;
  if (!ordered_json::sax_parse(text, &inspector)) {
    return base::Fail(Code::kDataLoss, path.string() + " " + inspector.problem() +
                                           ": write the template's variables as one JSON object");
  }
  ordered_json value = ordered_json::parse(text, nullptr, false);
  if (!value.is_object()) {
    return base::Fail(Code::kDataLoss, path.string() +
                                           " is no JSON object: write the template's variables as "
                                           "{\"messages\": …}");
  }
  return value;
}

}  // namespace cloister::cli
