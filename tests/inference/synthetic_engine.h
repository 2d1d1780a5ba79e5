#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "inference/engine/engine.h"
#include "tests/inference/synthetic_model.h"

namespace cloister::inference {

inline std::unique_ptr<Engine> LoadEngine(std::shared_ptr<const model::ModelFiles> files,
                                          EngineOptions options = {}) {
  if (options.threads == 0) options.threads = 2;
  auto engine = Engine::Load(std::move(files), options);
  EXPECT_TRUE(engine) << (engine ? "" : engine.error().message);
  return std::move(*engine);
}

inline std::shared_ptr<SyntheticModel> Model(const model::Architecture& architecture,
                                             model::DataType type = model::DataType::kF32) {
  return std::make_shared<SyntheticModel>(architecture, type, 42);
}

inline std::shared_ptr<SyntheticModel> Model(model::DataType type = model::DataType::kF32) {
  return std::make_shared<SyntheticModel>(SmallArchitecture(), type, 42);
}

inline std::vector<model::TokenId> Ids(std::size_t count) {
  std::vector<model::TokenId> ids;
  for (std::size_t i = 0; i < count; ++i) ids.push_back(static_cast<model::TokenId>(i * 31 % 97));
  return ids;
}

inline std::vector<float> Copy(std::span<const float> logits) {
  return {logits.begin(), logits.end()};
}

inline std::vector<std::vector<float>> AllLogits(Engine& engine,
                                                 std::span<const model::TokenId> ids) {
  std::vector<std::vector<float>> rows;
  engine.Reset();
  EXPECT_TRUE(engine.Evaluate(ids, 0, [&](std::int64_t, std::span<const float> logits) {
    rows.push_back(Copy(logits));
    return base::Status();
  }));
  return rows;
}

}  // namespace cloister::inference
