#pragma once

#include <string>

#include "trainer/report/run_summary.h"

namespace cloister::trainer {

// README.md as Hugging Face reads it (huggingface.co/docs/hub/model-cards): front matter with
// base_model, license, library_name and tags, then what was done, in words and tables. Texts from
// outside are escaped.
std::string ModelCard(const RunSummary& summary);

}  // namespace cloister::trainer
