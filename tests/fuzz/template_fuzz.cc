// A chat template and, behind a NUL, the JSON of its input: any bytes are read and rendered, or
// refused.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/check.h"
#include "model/jinja/template.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace jinja = cloister::model::jinja;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t end = text.find('\0');
  // Depths as in earnest; less time and memory, for many runs.
  jinja::Limits limits;
  limits.steps = 200'000;
  limits.memory_bytes = std::size_t{16} << 20;
  const auto parsed = jinja::Template::Parse(text.substr(0, end), limits);
  if (!parsed) {
    CLOISTER_CHECK(!parsed.error().message.empty());
    return 0;
  }
  nlohmann::ordered_json input = nlohmann::ordered_json::object();
  if (end != std::string_view::npos) {
    input = nlohmann::ordered_json::parse(text.substr(end + 1), nullptr,
                                          /*allow_exceptions=*/false);
  }
  const jinja::RenderOptions options{nullptr, jinja::Date{2026, 11, 23}};
  const auto first = parsed->Render(input, options);
  const auto second = parsed->Render(input, options);
  CLOISTER_CHECK(first.has_value() == second.has_value());
  CLOISTER_CHECK(!first || *first == *second);
  return 0;
}
