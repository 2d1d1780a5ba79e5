#include "trainer/data/record.h"

namespace cloister::trainer {

security::Sha256Digest HashOf(const Record& record) {
  security::Sha256 hash;
  if (record.messages.is_null()) {
    hash.Update("text:").Update(record.text);
    return hash.Finish();
  }
  // Each part with its length before it, so that no two conversations meet; nor does one meet a
  // text or a user, which begin with a letter.
  for (const nlohmann::ordered_json& message : record.messages) {
    for (const char* field : {"role", "content"}) {
      const std::string& text = message[field].get_ref<const std::string&>();
      hash.Update(std::to_string(text.size()) + ":").Update(text);
    }
  }
  return hash.Finish();
}

security::Sha256Digest HashOfUnit(const std::string& unit) {
  security::Sha256 hash;
  hash.Update("user:").Update(unit);
  return hash.Finish();
}

}  // namespace cloister::trainer
