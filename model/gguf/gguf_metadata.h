#pragma once

#include "base/result.h"
#include "model/architecture.h"
#include "model/gguf/gguf_writer.h"
#include "model/source_model.h"

namespace cloister::model {

// The metadata of a GGUF file with the network, tokenizer and chat template of `source`, as
// llama.cpp reads it. `main_type` is the type of most weights (general.file_type). kUnimplemented
// for a tokenizer that GGUF has no words for.
base::Result<GgufMetadata> MetadataFor(const SourceModel& source, const Architecture& architecture,
                                       DataType main_type);

}  // namespace cloister::model
