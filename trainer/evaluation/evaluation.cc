#include "trainer/evaluation/evaluation.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/progress.h"
#include "model/jinja/unicode.h"
#include "trainer/data/chat_encoder.h"
#include "trainer/data/held_out.h"
#include "trainer/data/record_data.h"

namespace cloister::trainer {
namespace {

using nlohmann::ordered_json;

double Share(std::size_t part, std::size_t of) {
  return static_cast<double>(part) / static_cast<double>(of);
}

// The first of the largest.
std::size_t Best(const std::vector<double>& values) {
  return static_cast<std::size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

std::string Stripped(const std::string& text) {
  return std::string(model::jinja::Strip(text, model::jinja::Ends::kBoth));
}

}  // namespace

// Tells how many rows are done, and asks whether to go on.
class Evaluation::Work {
 public:
  Work(std::size_t rows, const TrainableModel::Progress& go_on)
      : go_on_(go_on), line_("evaluating", rows, "rows") {}

  // For work within rows, of which so many are done.
  bool GoesOn(std::int64_t rows) {
    line_.Update(done_ + static_cast<std::uint64_t>(rows));
    return !go_on_ || go_on_(rows);
  }
  TrainableModel::Progress Within() {
    return [this](std::int64_t) { return GoesOn(0); };
  }
  void Done(std::size_t rows) { line_.Update(done_ += rows); }
  void Finish() { line_.Finish(); }

 private:
  const TrainableModel::Progress& go_on_;
  base::Progress line_;
  std::uint64_t done_ = 0;
};

// Reads a recipe's files for one model.
class Evaluation::Reader {
 public:
  Reader(const Recipe& recipe, const RecordFile& train, std::int64_t max_context,
         std::shared_ptr<const model::Tokenizer> tokenizer,
         const std::shared_ptr<const model::ChatTemplate>& chat_template)
      : recipe_(recipe),
        train_(train),
        max_context_(max_context),
        tokenizer_(std::move(tokenizer)),
        encoder_(tokenizer_, chat_template),
        cutting_encoder_(tokenizer_, chat_template,
                         {recipe.data.max_tokens, recipe.data.truncation}) {}

  base::Result<std::vector<Example>> Conversations(const std::filesystem::path& path) const {
    RecordFile::Options options{.layout = recipe_.data.layout};
    options.units = recipe_.privacy && recipe_.privacy->unit == dp::PrivacyUnit::kUser;
    CLOISTER_ASSIGN_OR_RETURN(RecordFile file, RecordFile::Open(path, options));
    if (recipe_.privacy) {
      CLOISTER_RETURN_IF_ERROR(CheckDisjoint(train_, file, recipe_.privacy->unit));
    }
    const RecordData data(std::move(file), cutting_encoder_);
    CLOISTER_ASSIGN_OR_RETURN(std::vector<Example> examples,
                              data.LoadFirst(recipe_.evaluation->rows));
    CLOISTER_RETURN_IF_ERROR(CheckHasAnswer(examples, path, "data.max_tokens"));
    return examples;
  }

  base::Result<std::vector<Choices>> MultipleChoice(const std::filesystem::path& path) const {
    CLOISTER_ASSIGN_OR_RETURN(const std::vector<Question> questions,
                              Questions(path, QuestionKind::kMultipleChoice));
    std::vector<Choices> all;
    for (const Question& question : questions) {
      Choices& choices = all.emplace_back();
      choices.right = question.right;
      for (const std::string& choice : question.choices) {
        CLOISTER_ASSIGN_OR_RETURN(Example example, Encode(question, choice));
        if (example.answer_tokens() == 0) {
          return base::Fail(base::Code::kDataLoss,
                            question.where +
                                ": a choice of field 'choices' has no token: give it a text that "
                                "the model's template keeps");
        }
        choices.examples.push_back(std::move(example));
        choices.characters.push_back(static_cast<double>(model::jinja::CountCodePoints(choice)));
      }
    }
    return all;
  }

  base::Result<std::vector<Prompt>> ExactMatch(const std::filesystem::path& path) const {
    CLOISTER_ASSIGN_OR_RETURN(const std::vector<Question> questions,
                              Questions(path, QuestionKind::kExactMatch));
    std::vector<Prompt> all;
    for (const Question& question : questions) {
      CLOISTER_ASSIGN_OR_RETURN(const Example example, Encode(question, question.answers.front()));
      Prompt& prompt = all.emplace_back();
      const auto answer = std::find(example.answer.begin(), example.answer.end(), 1);
      prompt.ids.assign(example.ids.begin(),
                        example.ids.begin() + (answer - example.answer.begin()));
      if (prompt.ids.empty() ||
          static_cast<std::int64_t>(prompt.ids.size()) + recipe_.evaluation->max_new_tokens >
              max_context_) {
        return TooLong(question, " with evaluation.max_new_tokens behind it");
      }
      for (const std::string& text : question.answers) prompt.answers.push_back(Stripped(text));
    }
    return all;
  }

 private:
  base::Result<std::vector<Question>> Questions(const std::filesystem::path& path,
                                                QuestionKind kind) const {
    const std::int64_t asked = recipe_.evaluation->rows;
    if (!recipe_.privacy) return ReadQuestions(path, kind, asked);
    // The whole file is to be disjoint, as it is for conversations.
    CLOISTER_ASSIGN_OR_RETURN(std::vector<Question> questions, ReadQuestions(path, kind, 0));
    std::vector<HeldOutRow> rows;
    for (const Question& question : questions) {
      HeldOutRow& row = rows.emplace_back(HeldOutRow{{}, question.unit, question.where});
      for (const auto* const texts : {&question.choices, &question.answers}) {
        for (const std::string& text : *texts) {
          row.hashes.push_back(HashOf({question.Answered(text), {}, {}, {}}));
        }
      }
    }
    CLOISTER_RETURN_IF_ERROR(CheckDisjoint(train_, rows, recipe_.privacy->unit));
    if (asked > 0 && asked < static_cast<std::int64_t>(questions.size())) {
      questions.resize(static_cast<std::size_t>(asked));
    }
    return questions;
  }

  tl::unexpected<base::Error> TooLong(const Question& question, const std::string& with) const {
    return base::Fail(base::Code::kDataLoss, question.where + ": longer than the model's " +
                                                 std::to_string(max_context_) + " positions" +
                                                 with + ": shorten it");
  }

  // The question with its answer; what ends the turn is no part of the answer.
  base::Result<Example> Encode(const Question& question, const std::string& answer) const {
    auto example = encoder_.Encode(question.Answered(answer));
    if (!example) return base::Annotate(std::move(example), question.where);
    if (example->tokens() > max_context_) return TooLong(question, "");
    const std::vector<model::TokenId> ends = tokenizer_->end_of_generation();
    const auto told = [&] {
      const bool end = std::find(ends.begin(), ends.end(), example->ids.back()) != ends.end();
      return example->answer.back() != 0 && !end;
    };
    while (!example->ids.empty() && !told()) {
      example->ids.pop_back();
      example->answer.pop_back();
    }
    return example;
  }

  const Recipe& recipe_;
  const RecordFile& train_;
  std::int64_t max_context_;
  std::shared_ptr<const model::Tokenizer> tokenizer_;
  ChatEncoder encoder_;
  RecordEncoder cutting_encoder_;
};

base::Result<std::optional<Evaluation>> Evaluation::Open(const Recipe& recipe,
                                                         const model::ModelFiles& files,
                                                         const RecordFile& train) {
  if (!recipe.evaluation) return std::optional<Evaluation>();
  const Recipe::Evaluation& asked = *recipe.evaluation;
  Evaluation evaluation;
  CLOISTER_ASSIGN_OR_RETURN(evaluation.tokenizer_, files.LoadTokenizer());
  CLOISTER_ASSIGN_OR_RETURN(const auto chat_template, files.LoadChatTemplate());
  CLOISTER_ASSIGN_OR_RETURN(const model::Architecture architecture, files.architecture());
  const Reader reader(recipe, train, architecture.max_context(), evaluation.tokenizer_,
                      chat_template);
  if (asked.perplexity) {
    CLOISTER_ASSIGN_OR_RETURN(evaluation.conversations_, reader.Conversations(*asked.perplexity));
  }
  if (asked.multiple_choice) {
    CLOISTER_ASSIGN_OR_RETURN(evaluation.multiple_choice_,
                              reader.MultipleChoice(*asked.multiple_choice));
  }
  if (asked.exact_match) {
    CLOISTER_ASSIGN_OR_RETURN(evaluation.exact_match_, reader.ExactMatch(*asked.exact_match));
  }
  evaluation.micro_batch_tokens_ = recipe.training.micro_batch_tokens;
  evaluation.max_new_tokens_ = asked.max_new_tokens;
  return std::optional<Evaluation>(std::move(evaluation));
}

base::Result<ordered_json> Evaluation::Run(TrainableModel& model,
                                           const TrainableModel::Progress& progress) const {
  Work work(conversations_.size() + multiple_choice_.size() + exact_match_.size(), progress);
  ordered_json figures = ordered_json::object();
  if (!conversations_.empty()) CLOISTER_RETURN_IF_ERROR(AddPerplexity(model, work, figures));
  if (!multiple_choice_.empty()) CLOISTER_RETURN_IF_ERROR(AddMultipleChoice(model, work, figures));
  if (!exact_match_.empty()) CLOISTER_RETURN_IF_ERROR(AddExactMatch(model, work, figures));
  work.Finish();
  return figures;
}

base::Status Evaluation::AddPerplexity(TrainableModel& model, Work& work,
                                       ordered_json& figures) const {
  CLOISTER_ASSIGN_OR_RETURN(const auto scores,
                            model.Scores(conversations_, micro_batch_tokens_,
                                         [&](std::int64_t rows) { return work.GoesOn(rows); }));
  work.Done(conversations_.size());
  TrainableModel::Score all;
  for (const TrainableModel::Score& score : scores) {
    all.nll += score.nll;
    all.tokens += score.tokens;
    all.correct += score.correct;
  }
  const double perplexity = std::exp(all.nll / static_cast<double>(all.tokens));
  if (!std::isfinite(perplexity)) {
    return base::Fail(base::Code::kFailedPrecondition,
                      "the perplexity of evaluation.perplexity is not finite: lower "
                      "optimizer.learning_rate");
  }
  figures["perplexity"] = perplexity;
  figures["token_accuracy"] = static_cast<double>(all.correct) / static_cast<double>(all.tokens);
  figures["perplexity_rows"] = conversations_.size();
  return {};
}

base::Status Evaluation::AddMultipleChoice(TrainableModel& model, Work& work,
                                           ordered_json& figures) const {
  std::size_t raw = 0, normalized = 0;
  for (const Choices& choices : multiple_choice_) {
    CLOISTER_ASSIGN_OR_RETURN(const auto scores,
                              model.Scores(choices.examples, micro_batch_tokens_, work.Within()));
    std::vector<double> likelihood, by_length;
    for (std::size_t i = 0; i < scores.size(); ++i) {
      likelihood.push_back(-scores[i].nll);
      by_length.push_back(-scores[i].nll / choices.characters[i]);
    }
    if (Best(likelihood) == choices.right) ++raw;
    if (Best(by_length) == choices.right) ++normalized;
    work.Done(1);
  }
  figures["acc"] = Share(raw, multiple_choice_.size());
  figures["acc_norm"] = Share(normalized, multiple_choice_.size());
  figures["multiple_choice_rows"] = multiple_choice_.size();
  return {};
}

base::Status Evaluation::AddExactMatch(TrainableModel& model, Work& work,
                                       ordered_json& figures) const {
  const std::vector<model::TokenId> ends = tokenizer_->end_of_generation();
  std::size_t right = 0;
  for (const Prompt& prompt : exact_match_) {
    CLOISTER_ASSIGN_OR_RETURN(const auto ids,
                              model.Continue(prompt.ids, max_new_tokens_, ends, work.Within()));
    // A network may have more scores than its vocabulary has tokens: such an answer is wrong.
    const auto text = tokenizer_->Decode(ids);
    if (text && std::find(prompt.answers.begin(), prompt.answers.end(), Stripped(*text)) !=
                    prompt.answers.end()) {
      ++right;
    }
    work.Done(1);
  }
  figures["exact_match"] = Share(right, exact_match_.size());
  figures["exact_match_rows"] = exact_match_.size();
  return {};
}

}  // namespace cloister::trainer
