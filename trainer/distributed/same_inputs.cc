#include "trainer/distributed/same_inputs.h"

#include <string>

namespace cloister::trainer {

base::Status CheckSameInputs(Ranks& ranks, const Recipe& recipe, const KnownDigests& known) {
  if (ranks.size() == 1) return {};
  CLOISTER_RETURN_IF_ERROR(
      ranks.CheckSame("recipe", PinnedRecipe(recipe) + std::to_string(recipe.training.steps) + " " +
                                    std::to_string(recipe.training.eval_every) + " " +
                                    std::to_string(recipe.data.eval_rows) + " " +
                                    std::to_string(recipe.training.compute.shard_parameters)));
  CLOISTER_ASSIGN_OR_RETURN(const std::string model,
                            ranks.Agreed(known.model ? base::Result<std::string>(*known.model)
                                                     : ModelDigest(recipe.model)));
  CLOISTER_RETURN_IF_ERROR(ranks.CheckSame("model", model));
  CLOISTER_ASSIGN_OR_RETURN(const std::string train,
                            ranks.Agreed(known.train ? base::Result<std::string>(*known.train)
                                                     : FileDigest(recipe.data.train)));
  CLOISTER_RETURN_IF_ERROR(ranks.CheckSame("training file", train));
  base::Result<std::string> eval = std::string();
  if (recipe.data.eval) eval = FileDigest(*recipe.data.eval);
  CLOISTER_ASSIGN_OR_RETURN(const std::string held_out, ranks.Agreed(std::move(eval)));
  return ranks.CheckSame("file of held-out records", held_out);
}

}  // namespace cloister::trainer
