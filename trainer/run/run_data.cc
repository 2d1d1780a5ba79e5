#include "trainer/run/run_data.h"

#include <optional>
#include <utility>

#include "trainer/data/held_out.h"

namespace cloister::trainer {

base::Result<RunData> RunData::Open(const Recipe& recipe, const model::ModelFiles& files) {
  CLOISTER_ASSIGN_OR_RETURN(ChatFile train, ChatFile::Open(recipe.data.train));
  std::optional<ChatFile> eval;
  if (recipe.data.eval) {
    CLOISTER_ASSIGN_OR_RETURN(eval, ChatFile::Open(*recipe.data.eval));
    if (recipe.privacy) {
      CLOISTER_RETURN_IF_ERROR(CheckDisjoint(train, *eval, recipe.privacy->unit));
    }
  }
  CLOISTER_ASSIGN_OR_RETURN(const auto tokenizer, files.LoadTokenizer());
  CLOISTER_ASSIGN_OR_RETURN(const auto chat_template, files.LoadChatTemplate());
  const ChatEncoder encoder(tokenizer, chat_template, recipe.data.max_tokens);
  RunData data{ChatData(std::move(train), encoder), {}};
  if (!eval) return data;
  CLOISTER_ASSIGN_OR_RETURN(data.held_out,
                            ChatData(std::move(*eval), encoder).LoadFirst(recipe.data.eval_rows));
  CLOISTER_RETURN_IF_ERROR(CheckHasAnswer(data.held_out, *recipe.data.eval, "data.max_tokens"));
  return data;
}

}  // namespace cloister::trainer
