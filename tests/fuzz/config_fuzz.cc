// config.json: any bytes are read to an architecture or refused, and what is read can be written.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/check.h"
#include "model/architecture.h"
#include "model/gguf/gguf_layout.h"
#include "model/model_files.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace model = cloister::model;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const nlohmann::json config = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto architecture = model::ArchitectureFromConfig(config);
  if (!architecture) return 0;
  // Names of many layers and experts are much work, not much to learn.
  const std::int64_t experts = architecture->experts ? architecture->experts->count : 0;
  if (architecture->num_layers * (experts + 1) < 1000) {
    CLOISTER_CHECK(!model::GgufTensors(*architecture).empty());
  }
  CLOISTER_CHECK(architecture->rope.InverseFrequencies(architecture->rotary_dim(), 100).size() *
                     2 ==
                 static_cast<std::size_t>(architecture->rotary_dim()));
  const auto written = model::ConfigFromArchitecture(*architecture);
  if (!written) return 0;
  const auto again = model::ArchitectureFromConfig(nlohmann::json(*written));
  CLOISTER_CHECK(again && *again == *architecture);
  return 0;
}
