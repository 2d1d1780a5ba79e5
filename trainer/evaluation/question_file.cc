#include "trainer/evaluation/question_file.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/file.h"
#include "base/json.h"

namespace cloister::trainer {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t kMostChoices = 64;

bool IsText(const ordered_json& value) {
  return value.is_string() && !value.get_ref<const std::string&>().empty();
}

// What is wrong with a list of texts; empty when nothing is.
std::string FaultOfTexts(const ordered_json& list, const std::string& field, std::size_t least) {
  if (!list.is_array() || list.size() < least || list.size() > kMostChoices ||
      !std::all_of(list.begin(), list.end(), IsText)) {
    return "field '" + field + "' must be a list of " + std::to_string(least) + " to " +
           std::to_string(kMostChoices) + " texts: mend the line";
  }
  for (auto one = list.begin(); one != list.end(); ++one) {
    if (std::find(list.begin(), one, *one) != one) {
      return "field '" + field + "' has the same text twice: keep one";
    }
  }
  return {};
}

std::string ReadChoices(const ordered_json& row, Question& question) {
  const auto choices = row.find("choices");
  if (choices == row.end()) return "field 'choices' is missing: give two texts or more";
  if (std::string fault = FaultOfTexts(*choices, "choices", 2); !fault.empty()) return fault;
  question.choices = choices->get<std::vector<std::string>>();
  const ordered_json& answer = row["answer"];
  if (answer.is_number_integer()) {
    const bool in_range = answer >= 0 && answer < question.choices.size();
    if (!in_range) {
      return "field 'answer' must be from 0 to " + std::to_string(question.choices.size() - 1) +
             ", the index of the right choice: mend the line";
    }
    question.right = answer.get<std::size_t>();
    return {};
  }
  const auto found = std::find(choices->begin(), choices->end(), answer);
  if (found == choices->end()) {
    return "field 'answer' must be the index of the right choice, from 0, or its text: mend the "
           "line";
  }
  question.right = static_cast<std::size_t>(found - choices->begin());
  return {};
}

std::string ReadAnswers(const ordered_json& row, Question& question) {
  const ordered_json& answer = row["answer"];
  if (IsText(answer)) {
    question.answers = {answer.get<std::string>()};
    return {};
  }
  if (!answer.is_array()) {
    return "field 'answer' must be a text, or a list of texts: mend the line";
  }
  if (std::string fault = FaultOfTexts(answer, "answer", 1); !fault.empty()) return fault;
  question.answers = answer.get<std::vector<std::string>>();
  return {};
}

// Fills `question`; what is wrong with the row, or nothing.
std::string Read(const ordered_json& row, QuestionKind kind, Question& question) {
  if (row.is_discarded()) return "no valid JSON: write one JSON object a line";
  if (!row.is_object()) return "no JSON object: write {\"question\": …, \"answer\": …}";
  for (const char* const field : {"question", "answer"}) {
    if (!row.contains(field)) return std::string("field '") + field + "' is missing: add it";
  }
  if (!IsText(row["question"])) return "field 'question' must be a text: mend the line";
  std::string text = row["question"].get<std::string>();
  if (const auto context = row.find("context"); context != row.end() && !context->is_null()) {
    if (!context->is_string()) return "field 'context' must be a text: mend the line";
    if (IsText(*context)) text = context->get<std::string>() + "\n\n" + text;
  }
  question.messages = ordered_json::array({{{"role", "user"}, {"content", std::move(text)}}});
  if (const auto unit = row.find("unit"); unit != row.end() && unit->is_string()) {
    question.unit = unit->get<std::string>();
  }
  return kind == QuestionKind::kMultipleChoice ? ReadChoices(row, question)
                                               : ReadAnswers(row, question);
}

}  // namespace

ordered_json Question::Answered(const std::string& answer) const {
  ordered_json conversation = messages;
  conversation.push_back({{"role", "assistant"}, {"content", answer}});
  return conversation;
}

base::Result<std::vector<Question>> ReadQuestions(const std::filesystem::path& path,
                                                  QuestionKind kind, std::int64_t rows) {
  auto text = base::ReadFile(path);
  if (!text && text.error().code == base::Code::kNotFound) {
    return base::Fail(base::Code::kNotFound,
                      "cannot read " + path.string() + ": give a JSONL file of questions");
  }
  if (!text) return base::Forward(std::move(text));
  std::vector<Question> questions;
  std::string_view rest = *text;
  for (std::int64_t number = 1; !rest.empty(); ++number) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    Question question;
    question.where = path.string() + ":" + std::to_string(number);
    const std::string fault = Read(base::ParseJson<ordered_json>(line), kind, question);
    if (!fault.empty()) return base::Fail(base::Code::kDataLoss, question.where + ": " + fault);
    questions.push_back(std::move(question));
  }
  if (questions.empty()) {
    return base::Fail(base::Code::kDataLoss,
                      path.string() + ":1: no question: write one JSON object a line");
  }
  if (rows > 0 && rows < static_cast<std::int64_t>(questions.size())) {
    questions.resize(static_cast<std::size_t>(rows));
  }
  return questions;
}

}  // namespace cloister::trainer
