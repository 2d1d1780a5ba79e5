#include "trainer/distributed/same_inputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "tests/base/temporary_folder.h"
#include "tests/trainer/rank_threads.h"
#include "trainer/run/run_checkpoints.h"

namespace cloister::trainer {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// Each rank's own model and records, which are files of a few bytes here, and checkpoints of the
// first.
class SameInputs : public ::testing::Test {
 protected:
  Recipe Write(std::int64_t rank, const std::string& model, const std::string& train) {
    const std::string name = std::to_string(rank);
    Recipe recipe;
    recipe.model = folder_ / ("model" + name);
    recipe.data.train = folder_ / ("train" + name);
    EXPECT_TRUE(base::WriteFile(recipe.model, model));
    EXPECT_TRUE(base::WriteFile(recipe.data.train, train));
    if (rank == 0) recipe.checkpoints = {.folder = folder_ / "checkpoints", .every = 1};
    return recipe;
  }
  // What the first rank is told, where its files are gone as soon as its checkpoints know them.
  base::Status CheckWithout(const Recipe& first, const Recipe& second) {
    fs::remove_all(folder_ / "checkpoints");
    base::Status told;
    OnRanks(2, [&](Ranks& ranks) {
      if (!ranks.first()) {
        static_cast<void>(CheckSameInputs(ranks, second, {}).has_value());
        return;
      }
      const auto checkpoints = RunCheckpoints::Begin(first, {});
      ASSERT_TRUE(checkpoints) << checkpoints.error().message;
      fs::remove(first.model);
      fs::remove(first.data.train);
      told = CheckSameInputs(ranks, first, checkpoints->digests());
    });
    return told;
  }

  testing::TemporaryFolder folder_;
};

// Read by every check of its own, a training file would be read twice before the first step.
TEST_F(SameInputs, WhatTheCheckpointsKnowIsNotReadAgain) {
  const base::Status told =
      CheckWithout(Write(0, "model", "records"), Write(1, "model", "records"));
  EXPECT_TRUE(told) << told.error().message;
}

TEST_F(SameInputs, WhatTheCheckpointsKnowIsComparedAllTheSame) {
  const base::Status records =
      CheckWithout(Write(0, "model", "records"), Write(1, "model", "others"));
  ASSERT_FALSE(records);
  EXPECT_THAT(records.error().message, HasSubstr("another training file"));
  const base::Status model =
      CheckWithout(Write(0, "model", "records"), Write(1, "another", "records"));
  ASSERT_FALSE(model);
  EXPECT_THAT(model.error().message, HasSubstr("another model"));
}

TEST_F(SameInputs, NothingIsKnownWithoutCheckpoints) {
  Recipe recipe = Write(0, "model", "records");
  recipe.checkpoints.reset();
  const KnownDigests known = RunCheckpoints::Begin(recipe, {}).value().digests();
  EXPECT_FALSE(known.model);
  EXPECT_FALSE(known.train);
}

}  // namespace
}  // namespace cloister::trainer
