// Whole models in every type that can be written, and in several files.
#include <gtest/gtest.h>

#include <map>

#include "model/gguf/gguf_file.h"
#include "model/model_files.h"
#include "model/quantize.h"
#include "model/source_model.h"
#include "model/write_model.h"
#include "tests/base/temporary_folder.h"
#include "tests/model/test_models.h"

namespace cloister::model {
namespace {

using testing::TemporaryFolder;

class EveryBlockType : public ::testing::TestWithParam<DataType> {};

// The fixture's matrices have rows of 64 and 96: no K-quant is possible.
TEST_P(EveryBlockType, RowsTakeTheTypeThatTheyCan) {
  TemporaryFolder folder;
  const auto written = QuantizeModel(testing::LlamaFolder(), folder / "q.gguf", GetParam());
  ASSERT_TRUE(written) << written.error().message;
  const GgufFile file = *GgufFile::Open(folder / "q.gguf");
  for (const GgufEntry& entry : file.entries()) {
    const bool vector = entry.view.shape.size() == 1;
    const DataType expected =
        vector ? DataType::kF32 : TypeForRows(GetParam(), entry.view.row_elements());
    EXPECT_EQ(entry.view.type, expected) << entry.name;
  }
  const auto files = *ModelFiles::Open(folder / "q.gguf");
  const auto source = *ModelFiles::Open(testing::LlamaFolder());
  for (const std::string& name : source->TensorNames()) {
    const std::vector<float> exact = ToFloat(*source->Tensor(name));
    const std::vector<float> rounded = ToFloat(*files->Tensor(name));
    ASSERT_EQ(rounded.size(), exact.size());
    float largest = 0;
    float error = 0;
    for (std::size_t i = 0; i < exact.size(); ++i) {
      largest = std::max(largest, std::abs(exact[i]));
      error = std::max(error, std::abs(rounded[i] - exact[i]));
    }
    EXPECT_LE(error, largest / 8) << name;  // half a step of 4 bits, and some
  }
}

INSTANTIATE_TEST_SUITE_P(All, EveryBlockType,
                         ::testing::Values(DataType::kQ8_0, DataType::kQ4_0, DataType::kQ4_1,
                                           DataType::kQ5_0, DataType::kQ5_1, DataType::kQ4_K,
                                           DataType::kQ5_K, DataType::kQ6_K),
                         [](const auto& info) { return std::string(DataTypeName(info.param)); });

WritePlan KeepTypes(std::uint64_t max_file_bytes) {
  WritePlan plan;
  plan.title = "write";
  plan.type = [](const std::string&, DataType stored) { return stored; };
  plan.max_file_bytes = max_file_bytes;
  return plan;
}

void ExpectSameTensors(const ModelFiles& actual, const ModelFiles& expected) {
  for (const std::string& name : expected.TensorNames()) {
    const auto tensor = actual.Tensor(name);
    ASSERT_TRUE(tensor) << tensor.error().message;
    EXPECT_EQ(ToFloat(*tensor), ToFloat(*expected.Tensor(name))) << name;
  }
  EXPECT_EQ(actual.TensorNames().size(), expected.TensorNames().size());
}

TEST(WriteModel, InSeveralFilesIsTheSameModel) {
  TemporaryFolder folder;
  const auto source = *SourceModel::Open(testing::LlamaFolder());
  const WritePlan plan = KeepTypes(100 << 10);
  ASSERT_TRUE(WriteModel(*source, folder / "m.gguf", plan));
  ASSERT_TRUE(WriteModel(*source, folder / "hf", plan));
  std::filesystem::path last;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    if (entry.path().extension() == ".gguf") last = std::max(last, entry.path());
  }
  EXPECT_NE(last.filename().string().find("m-0000"), std::string::npos) << last;
  ExpectSameTensors(**ModelFiles::Open(last), *source);
  EXPECT_TRUE(std::filesystem::exists(folder / "hf" / "model.safetensors.index.json"));
  EXPECT_FALSE(std::filesystem::exists(folder / "hf" / "model.safetensors"));
  ExpectSameTensors(**ModelFiles::Open(folder / "hf"), *source);
}

}  // namespace
}  // namespace cloister::model
