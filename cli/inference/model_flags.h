#pragma once

#include <boost/program_options.hpp>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "inference/engine/engine.h"
#include "model/model_files.h"
#include "model/tokenizer.h"

namespace cloister::cli {

// The flags that every command of this folder has: --model, --threads, --kernels, --json.
void AddModelFlags(boost::program_options::options_description& options);

base::Result<std::shared_ptr<const model::ModelFiles>> OpenModel(
    const boost::program_options::variables_map& values);

// From --threads and --kernels. kInvalidArgument, naming the flag, for values that cannot be.
base::Result<inference::EngineOptions> EngineOptionsOf(
    const boost::program_options::variables_map& values);

// "1,2,3" to ids; kInvalidArgument, naming `flag`, for anything else.
base::Result<std::vector<model::TokenId>> ParseIds(const std::string& text,
                                                   const std::string& flag);

// The tokens that end a text: those of the model's configuration, then those of its tokenizer
// (`tokenizer` may be null).
std::vector<model::TokenId> EndTokens(const model::Architecture& architecture,
                                      const model::Tokenizer* tokenizer);

// As the model wants a text: its own rule about BOS, special tokens read where `parse_special`.
std::vector<model::TokenId> EncodeForModel(const model::Tokenizer& tokenizer, std::string_view text,
                                           bool parse_special);

// kInvalidArgument, naming `flag`, unless `value` is at least `least`.
base::Status CheckAtLeast(const std::string& flag, std::int64_t value, std::int64_t least);

}  // namespace cloister::cli
