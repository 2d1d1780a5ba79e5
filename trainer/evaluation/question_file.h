#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"

namespace cloister::trainer {

// A question of an evaluation, as one line of a JSONL file asks it (docs/reference/evaluation.md):
//   {"question": …, "context": …, "choices": [a, b, …], "answer": index or one of the choices}
//   {"question": …, "context": …, "answer": text or [texts]}
// `context` may be absent; `unit`, whose it is, is read where it is a text.
struct Question {
  // One user turn: the context, an empty line, the question.
  nlohmann::ordered_json messages;
  std::vector<std::string> choices;  // of multiple choice: two and more, all different
  std::size_t right = 0;             // of multiple choice: index of the right one
  std::vector<std::string> answers;  // otherwise: each of which is right
  std::string unit;
  std::string where;  // "file:line"

  // The conversation in which the model gives `answer`.
  nlohmann::ordered_json Answered(const std::string& answer) const;
};

enum class QuestionKind { kMultipleChoice, kExactMatch };

// The first `rows` questions of the file, all where rows is 0; the whole file is checked. At most
// 64 MiB. kNotFound for a file that is absent; kDataLoss, "file:line: what: how to mend it", for a
// line that is no such question, and for a file without one.
base::Result<std::vector<Question>> ReadQuestions(const std::filesystem::path& path,
                                                  QuestionKind kind, std::int64_t rows);

}  // namespace cloister::trainer
