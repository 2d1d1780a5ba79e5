#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "tests/base/own_path.h"
#include "trainer/recipe/recipe.h"

namespace cloister::trainer {

inline const std::filesystem::path kConfigs =
    std::filesystem::path(CLOISTER_TEST_DATA) / "../../configs";

// One of configs/, overrides laid over it.
inline base::Result<Recipe> Load(const std::string& name, std::vector<std::string> overrides) {
  return LoadRecipe(kConfigs / name, overrides);
}

inline constexpr const char* kMatrix = "dp-matrix-factorization.yaml";

inline base::Result<Recipe> LoadText(const std::string& text) {
  const OwnFile file("recipe.yaml");
  EXPECT_TRUE(base::WriteFile(file.path(), text));
  return LoadRecipe(file.path(), {});
}

// One line that says `message`.
inline void ExpectFault(const base::Result<Recipe>& recipe,
                        const testing::Matcher<std::string>& message,
                        base::Code code = base::Code::kInvalidArgument) {
  ASSERT_FALSE(recipe);
  EXPECT_EQ(recipe.error().code, code);
  EXPECT_THAT(recipe.error().message, message);
  EXPECT_THAT(recipe.error().message, testing::Not(testing::HasSubstr("\n")));
}

}  // namespace cloister::trainer
