#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "base/result.h"
#include "model/tokenizer/decoder.h"
#include "model/tokenizer/normalizer.h"
#include "model/tokenizer/pre_tokenizer.h"

namespace cloister::model {

// The parts of a tokenizer.json that are lists of steps, one step or null, with Sequences within
// them laid flat. kUnimplemented naming a kind that is not supported, kDataLoss for a field that is
// missing or of another type.
base::Result<std::vector<NormalizerStep>> ReadNormalizer(const nlohmann::json& part);
base::Result<std::vector<PreTokenizerStep>> ReadPreTokenizer(const nlohmann::json& part);
base::Result<std::vector<DecoderStep>> ReadDecoder(const nlohmann::json& part);

// The same as written. No step is null.
nlohmann::ordered_json NormalizerJson(const std::vector<NormalizerStep>& steps);
nlohmann::ordered_json PreTokenizerJson(const std::vector<PreTokenizerStep>& steps);
nlohmann::ordered_json DecoderJson(const std::vector<DecoderStep>& steps);

// A part's "type", or "unknown".
std::string TypeOf(const nlohmann::json& part);

}  // namespace cloister::model
