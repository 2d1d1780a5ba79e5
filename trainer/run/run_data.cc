#include "trainer/run/run_data.h"

#include <optional>
#include <utility>

#include "trainer/data/held_out.h"

namespace cloister::trainer {
namespace {

RecordFile::Options FileOptions(const Recipe& recipe) {
  RecordFile::Options options{.layout = recipe.data.layout};
  if (recipe.privacy) {
    options.units = recipe.privacy->unit == dp::PrivacyUnit::kUser;
    options.timing = base::Timing::kHidden;
  }
  return options;
}

}  // namespace

base::Result<RunData> RunData::Open(const Recipe& recipe, const model::ModelFiles& files) {
  const RecordFile::Options options = FileOptions(recipe);
  CLOISTER_ASSIGN_OR_RETURN(RecordFile train, RecordFile::Open(recipe.data.train, options));
  std::optional<RecordFile> eval;
  if (recipe.data.eval) {
    CLOISTER_ASSIGN_OR_RETURN(eval, RecordFile::Open(*recipe.data.eval, options));
    if (recipe.privacy) {
      CLOISTER_RETURN_IF_ERROR(CheckDisjoint(train, *eval, recipe.privacy->unit));
    }
  }
  CLOISTER_ASSIGN_OR_RETURN(const RecordEncoder encoder,
                            RecordEncoder::Load(files, recipe.data.layout,
                                                {recipe.data.max_tokens, recipe.data.truncation}));
  RunData data{RecordData(std::move(train), encoder), {}};
  // A private run may not end otherwise for one record more or less.
  if (!recipe.privacy) CLOISTER_RETURN_IF_ERROR(data.train.CheckHasAnswer());
  CLOISTER_RETURN_IF_ERROR(data.train.Check(options.timing));
  if (!eval) return data;
  CLOISTER_ASSIGN_OR_RETURN(data.held_out,
                            RecordData(std::move(*eval), encoder).LoadFirst(recipe.data.eval_rows));
  CLOISTER_RETURN_IF_ERROR(CheckHasAnswer(data.held_out, *recipe.data.eval, "data.max_tokens"));
  return data;
}

}  // namespace cloister::trainer
