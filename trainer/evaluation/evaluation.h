#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/model_files.h"
#include "model/tokenizer.h"
#include "trainer/data/record_file.h"
#include "trainer/evaluation/question_file.h"
#include "trainer/recipe/recipe.h"
#include "trainer/trainable_model.h"

namespace cloister::trainer {

// What a recipe's `evaluation` judges a model by: held-out files that are read, checked and encoded
// once, so that the model before training and the one after are asked the very same
// (docs/reference/evaluation.md). Immutable.
class Evaluation {
 public:
  // Nothing where the recipe asks for none. kDataLoss, naming file and line, for a row that is
  // malformed or longer than the model's context, and with privacy for one that also stands among
  // the training records.
  static base::Result<std::optional<Evaluation>> Open(const Recipe& recipe,
                                                      const model::ModelFiles& files,
                                                      const RecordFile& train);

  // The figures of the kinds that are asked for: perplexity and token_accuracy; acc and acc_norm;
  // exact_match; with each the number of rows behind it. kFailedPrecondition where the perplexity
  // is not finite; kCancelled when `progress` says so.
  base::Result<nlohmann::ordered_json> Run(TrainableModel& model,
                                           const TrainableModel::Progress& progress) const;

 private:
  // The choices of one question, each as the answer that the model would have given.
  struct Choices {
    std::vector<Example> examples;
    std::vector<double> characters;  // of each choice
    std::size_t right = 0;
  };
  struct Prompt {
    std::vector<model::TokenId> ids;
    std::vector<std::string> answers;
  };
  class Reader;
  class Work;

  base::Status AddPerplexity(TrainableModel& model, Work& work,
                             nlohmann::ordered_json& figures) const;
  base::Status AddMultipleChoice(TrainableModel& model, Work& work,
                                 nlohmann::ordered_json& figures) const;
  base::Status AddExactMatch(TrainableModel& model, Work& work,
                             nlohmann::ordered_json& figures) const;

  std::shared_ptr<const model::Tokenizer> tokenizer_;
  std::vector<Example> conversations_;
  std::vector<Choices> multiple_choice_;
  std::vector<Prompt> exact_match_;
  std::int64_t micro_batch_tokens_ = 0;
  std::int64_t max_new_tokens_ = 0;
};

}  // namespace cloister::trainer
