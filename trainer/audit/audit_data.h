#pragma once

#include <cstdint>
#include <filesystem>

#include "base/result.h"
#include "security/random.h"

namespace cloister::trainer {

// Writes a JSONL file of `records` conversations of one question and one answer of random words,
// about `answer_tokens` tokens long (4096 letters at most): records about nobody. Each is a "unit"
// of its own.
base::Status WriteRandomRecords(const std::filesystem::path& path, std::int64_t records,
                                std::int64_t answer_tokens, security::AesCtrStream& random);

}  // namespace cloister::trainer
