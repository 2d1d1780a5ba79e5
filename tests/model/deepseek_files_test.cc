// What DeepSeek's published files have beside the usual: layers that only propose tokens, matrices
// in 8-bit floats, and in GGUF two ages of the latents' up-projection.
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "base/file.h"
#include "model/config/json_reader.h"
#include "model/convert.h"
#include "model/gguf/gguf_architecture.h"
#include "model/gguf/gguf_file.h"
#include "model/gguf/gguf_layout.h"
#include "model/model_files.h"
#include "tests/base/temporary_folder.h"
#include "tests/model/test_models.h"

namespace cloister::model {
namespace {

using base::Code;
using nlohmann::json;
using testing::TemporaryFolder;

struct RawTensor {
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::string bytes;
};
using RawTensors = std::map<std::string, RawTensor>;

void WriteRaw(const std::filesystem::path& path, const RawTensors& tensors) {
  json header = json::object();
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    header[name] = {{"dtype", tensor.dtype},
                    {"shape", tensor.shape},
                    {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
    data += tensor.bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t size = text.size();
  std::string file(sizeof size, '\0');
  std::memcpy(file.data(), &size, sizeof size);
  testing::WriteBytes(path, file + text + data);
}

RawTensors ReadRaw(const std::filesystem::path& folder) {
  RawTensors tensors;
  const auto files = *ModelFiles::Open(folder);
  for (const std::string& name : files->TensorNames()) {
    const TensorView view = *files->Tensor(name);
    tensors[name] = {
        "F32", view.shape,
        std::string(reinterpret_cast<const char*>(view.data.data()), view.data.size())};
  }
  return tensors;
}

std::filesystem::path V3() { return testing::TestData() / "models" / "deepseek-v3"; }

void WriteConfig(const std::filesystem::path& folder, const json& config) {
  std::filesystem::create_directories(folder);
  ASSERT_TRUE(base::WriteFile(folder / "config.json", config.dump()));
}

TEST(ProposingLayers, AreNoPartOfAFoldersNetwork) {
  TemporaryFolder folder;
  json config = *ReadJsonObject(V3() / "config.json");
  ASSERT_EQ(config["num_nextn_predict_layers"], 1);
  RawTensors tensors = ReadRaw(V3());
  tensors["model.layers.2.eh_proj.weight"] = {"F32", {2}, std::string(8, '\0')};
  WriteConfig(folder / "hf", config);
  WriteRaw(folder / "hf" / "model.safetensors", tensors);
  const auto files = *ModelFiles::Open(folder / "hf");
  const auto status = CheckTensors(*files, *files->architecture());
  EXPECT_TRUE(status) << status.error().message;
  // Without the field they are tensors that nobody knows.
  config["num_nextn_predict_layers"] = 0;
  WriteConfig(folder / "hf", config);
  const auto other = *ModelFiles::Open(folder / "hf");
  EXPECT_EQ(CheckTensors(*other, *other->architecture()).error().code, Code::kUnimplemented);
}

// A stack of experts is stored as one type, which must lose nothing of any of them.
TEST(MixedExperts, SurviveAGgufUnchanged) {
  TemporaryFolder folder;
  RawTensors tensors = ReadRaw(V3());
  for (auto& [name, tensor] : tensors) {
    if (name.find(".experts.0.") == std::string::npos) continue;
    std::string halves;
    for (std::size_t i = 0; i < tensor.bytes.size(); i += 4)
      halves += tensor.bytes.substr(i + 2, 2);
    tensor = {"BF16", tensor.shape, halves};
  }
  WriteConfig(folder / "hf", *ReadJsonObject(V3() / "config.json"));
  WriteRaw(folder / "hf" / "model.safetensors", tensors);
  ASSERT_TRUE(Convert(folder / "hf", folder / "m.gguf", std::nullopt));
  const auto before = *ModelFiles::Open(folder / "hf");
  const auto after = *ModelFiles::Open(folder / "m.gguf");
  for (const auto& [name, tensor] : tensors) {
    EXPECT_EQ(ToFloat(*before->Tensor(name)), ToFloat(*after->Tensor(name))) << name;
  }
}

// o_proj of layer 0 as 8-bit floats: 1.5 · 2^e by row, in blocks of 48 x 80 weights.
class EightBitFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    config_ = *ReadJsonObject(V3() / "config.json");
    config_["quantization_config"] = {
        {"quant_method", "fp8"}, {"fmt", "e4m3"}, {"weight_block_size", {48, 80}}};
    tensors_ = ReadRaw(V3());
    const std::vector<std::int64_t> shape = tensors_.at(kName).shape;
    ASSERT_EQ(shape, (std::vector<std::int64_t>{64, 128}));
    std::string numbers;
    for (int row = 0; row < 64; ++row) {
      // Sign 0, exponent row % 8 + 4 with bias 7, fraction .5: (1.5)(2^(row % 8 - 3)).
      numbers += std::string(128, static_cast<char>((row % 8 + 4) << 3 | 4));
    }
    tensors_[kName] = {"F8_E4M3", shape, numbers};
    const float scales[] = {2.0f, -0.5f, 0.25f, 8.0f};
    tensors_[std::string(kName) + "_scale_inv"] = {
        "F32", {2, 2}, std::string(reinterpret_cast<const char*>(scales), sizeof scales)};
  }

  std::shared_ptr<const ModelFiles> Open() {
    WriteConfig(folder_ / "hf", config_);
    WriteRaw(folder_ / "hf" / "model.safetensors", tensors_);
    return *ModelFiles::Open(folder_ / "hf");
  }

  static void ExpectValues(const TensorView& view) {
    const std::vector<float> values = ToFloat(view);
    EXPECT_EQ(values[0], 2.0f * 1.5f * 0.125f);
    EXPECT_EQ(values[80], -0.5f * 1.5f * 0.125f);            // row 0, second block
    EXPECT_EQ(values[49 * 128 + 79], 0.25f * 1.5f * 0.25f);  // row 49: second row of blocks
    EXPECT_EQ(values[63 * 128 + 127], 8.0f * 1.5f * 16.0f);
  }

  static constexpr char kName[] = "model.layers.0.self_attn.o_proj.weight";
  TemporaryFolder folder_;
  json config_;
  RawTensors tensors_;
};

TEST_F(EightBitFolder, WeightsAreNumbersTimesTheirBlocksScale) {
  const auto files = Open();
  const auto status = CheckTensors(*files, *files->architecture());
  ASSERT_TRUE(status) << status.error().message;
  ExpectValues(*files->Tensor(kName));
}

TEST_F(EightBitFolder, ConvertsToFloats) {
  Open();
  const auto written = Convert(folder_ / "hf", folder_ / "m.gguf", DataType::kF32);
  ASSERT_TRUE(written) << written.error().message;
  ExpectValues(*(*ModelFiles::Open(folder_ / "m.gguf"))->Tensor(kName));
  // Without a type, to the one that they were trained in; nothing claims to be 8-bit afterwards.
  ASSERT_TRUE(Convert(folder_ / "hf", folder_ / "back", std::nullopt));
  const auto back = *ModelFiles::Open(folder_ / "back");
  EXPECT_EQ(back->Tensor(kName)->type, DataType::kBF16);
  ExpectValues(*back->Tensor(kName));
  EXPECT_FALSE(ReadJsonObject(folder_ / "back" / "config.json")->contains("quantization_config"));
}

TEST_F(EightBitFolder, NamesMissingOrWrongScales) {
  tensors_.erase(std::string(kName) + "_scale_inv");
  auto tensor = Open()->Tensor(kName);
  ASSERT_FALSE(tensor);
  EXPECT_NE(tensor.error().message.find("_scale_inv"), std::string::npos);
  tensors_[std::string(kName) + "_scale_inv"] = {"F32", {2, 3}, std::string(24, '\0')};
  tensor = Open()->Tensor(kName);
  ASSERT_FALSE(tensor);
  EXPECT_EQ(tensor.error().code, Code::kDataLoss);
  config_.erase("quantization_config");
  EXPECT_NE(Open()->Tensor(kName).error().message.find("quantization_config"), std::string::npos);
}

TEST(LatentUpProjection, AFileOfTheOldAgeHoldsTheSameNetwork) {
  TemporaryFolder folder;
  ASSERT_TRUE(Convert(V3(), folder / "new.gguf", std::nullopt));
  const auto source = *ModelFiles::Open(V3());
  const Architecture a = *source->architecture();
  GgufMetadata metadata;
  ASSERT_TRUE(AddNetwork(a, metadata));
  const GgufFile file = *GgufFile::Open(folder / "new.gguf");
  std::vector<TensorSpec> specs;
  std::vector<std::span<const std::byte>> bytes;
  for (const GgufFile::Entry& entry : file.entries()) {
    if (entry.name.ends_with("attn_v_b.weight")) continue;
    specs.push_back({entry.name, entry.view.type, entry.view.shape});
    bytes.push_back(entry.view.data);
    const std::size_t place = entry.name.find("attn_k_b.weight");
    if (place == std::string::npos) continue;
    const std::string layer = entry.name.substr(4, entry.name.find('.', 4) - 4);
    const TensorView whole =
        *source->Tensor("model.layers." + layer + ".self_attn.kv_b_proj.weight");
    specs.back() = {entry.name.substr(0, place) + kLegacyKvUp, whole.type, whole.shape};
    bytes.back() = whole.data;
  }
  auto sink = *NewGguf(folder / "old.gguf", metadata, specs);
  for (const auto& part : bytes) ASSERT_TRUE(sink->Write(part));
  ASSERT_TRUE(sink->Commit());
  for (const char* name : {"new.gguf", "old.gguf"}) {
    const auto files = *ModelFiles::Open(folder / name);
    EXPECT_TRUE(CheckTensors(*files, a)) << name;
    for (const NamedShape& expected : ExpectedTensors(a)) {
      EXPECT_EQ(ToFloat(*files->Tensor(expected.name)), ToFloat(*source->Tensor(expected.name)))
          << name << expected.name;
    }
  }
}

TEST(GgufKeys, AConfigThatContradictsTheFileIsRefused) {
  TemporaryFolder folder;
  ASSERT_TRUE(Convert(V3(), folder / "m.gguf", std::nullopt));
  std::string bytes = testing::ReadBytes(folder / "m.gguf");
  const std::string said = "\"num_experts_per_tok\":2";
  const std::size_t place = bytes.find(said);
  ASSERT_NE(place, std::string::npos);
  bytes[place + said.size() - 1] = '1';
  testing::WriteBytes(folder / "m.gguf", bytes);
  const auto a = (*ModelFiles::Open(folder / "m.gguf"))->architecture();
  ASSERT_FALSE(a);
  EXPECT_NE(a.error().message.find("cloister.config"), std::string::npos) << a.error().message;
}

}  // namespace
}  // namespace cloister::model
