#include "model/huggingface/safetensors_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "model/huggingface/safetensors_writer.h"
#include "tests/base/temporary_folder.h"
#include "tests/model/test_models.h"

namespace cloister::model {
namespace {

using base::Code;
using nlohmann::json;
using testing::ReadBytes;
using testing::TemporaryFolder;

std::string File(const std::string& header, std::size_t data) {
  const std::uint64_t size = header.size();
  return std::string(reinterpret_cast<const char*>(&size), sizeof size) + header +
         std::string(data, '\0');
}

base::Result<SafetensorsFile> Read(const std::string& bytes) {
  return SafetensorsFile::Read(std::as_bytes(std::span(bytes)), "a.safetensors");
}

TEST(Safetensors, KnowsEveryTypeOfTheFormat) {
  const std::pair<const char*, std::size_t> types[] = {
      {"F64", 64},    {"F32", 32},    {"F16", 16},    {"BF16", 16}, {"F8_E4M3", 8},
      {"F8_E5M2", 8}, {"F8_E8M0", 8}, {"F6_E2M3", 6}, {"F4", 4},    {"I64", 64},
      {"I32", 32},    {"I16", 16},    {"I8", 8},      {"U64", 64},  {"U32", 32},
      {"U16", 16},    {"U8", 8},      {"BOOL", 8},    {"C64", 64}};
  for (const auto& [dtype, bits] : types) {
    const json header = {{"t", {{"dtype", dtype}, {"shape", {2, 4}}, {"data_offsets", {0, bits}}}}};
    const std::string bytes = File(header.dump(), bits);
    const auto file = Read(bytes);
    ASSERT_TRUE(file) << dtype << ": " << file.error().message;
    EXPECT_EQ(file->entries().at("t").dtype, dtype);
    EXPECT_EQ(file->entries().at("t").data.size(), bits);
    const bool weights = std::string(dtype) == "F32" || std::string(dtype) == "F16" ||
                         std::string(dtype) == "BF16" || std::string(dtype) == "F8_E4M3";
    EXPECT_EQ(file->Tensor("t").has_value(), weights) << dtype;
  }
  const std::string bytes = File(R"({"t":{"dtype":"Q9","shape":[1],"data_offsets":[0,1]}})", 1);
  EXPECT_EQ(Read(bytes).error().code, Code::kUnimplemented);
}

TEST(Safetensors, HasMetadataScalarsEmptyTensorsAndSpacesBehindTheHeader) {
  const std::string bytes = File(
      R"({"__metadata__":{"format":"pt","é":"\n"},"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
      R"("z":{"dtype":"F32","shape":[0,7],"data_offsets":[4,4]},)"
      R"("v":{"data_offsets":[4,6],"dtype":"F16","shape":[1]}}     )",
      6);
  const auto file = Read(bytes);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->metadata().at("format"), "pt");
  EXPECT_EQ(file->metadata().at("é"), "\n");
  EXPECT_EQ(ToFloat(*file->Tensor("s")), std::vector<float>{0});
  EXPECT_TRUE(ToFloat(*file->Tensor("z")).empty());
  EXPECT_EQ(file->entries().size(), 3u);
}

TEST(Safetensors, HeadersThatTheFormatDoesNotHaveAreRefused) {
  const std::string good = R"("dtype":"F32","shape":[1],"data_offsets":[0,4])";
  const std::pair<std::string, const char*> wrong[] = {
      {" {}", "no JSON object"},
      {"{} x", "no JSON object"},
      {"{}{}", "no JSON object"},
      {"", "no JSON object"},
      {R"({"a":[]})", "not of the format"},
      {R"({"a":1})", "not of the format"},
      {R"({"a":{)" + good + R"(,"more":1}})", "does not know"},
      {R"({"a":{)" + good + R"(,"shape":[1]}})", "twice"},
      {R"({"a":{"dtype":{"x":1}}})", "dtype"},
      {R"({"a":{"dtype":"F32","shape":[[1]]}})", "shape"},
      {R"({"a":{"dtype":"F32","shape":[1.0]}})", "shape"},
      {R"({"a":{"dtype":"F32","shape":[-1]}})", "shape"},
      {R"({"a":{"dtype":"F32","shape":[1e3]}})", "shape"},
      {R"({"a":{"dtype":"F32","shape":[18446744073709551616]}})", "shape"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}})", "data_offsets"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", "data_offsets"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", "data_offsets"},
      {R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}})", "shape"},
      {R"({"__metadata__":{"a":1}})", "not of the format"},
      {R"({"__metadata__":{"a":"1","a":"2"}})", "twice"},
      {R"({"__metadata__":{},"__metadata__":{}})", "twice"},
      {"{\"\xff\":{" + good + "}}", "no JSON object"},
      {std::string(100000, '{'), "no JSON object"},
      {R"({"a":)" + std::string(100000, '['), "not of the format"},
  };
  for (const auto& [header, word] : wrong) {
    const auto file = Read(File(header, 4));
    ASSERT_FALSE(file) << header.substr(0, 100);
    EXPECT_EQ(file.error().code, Code::kDataLoss) << header.substr(0, 100);
    EXPECT_NE(file.error().message.find(word), std::string::npos) << file.error().message;
    EXPECT_LT(file.error().message.size(), 400u);
  }
}

TEST(Safetensors, AHeaderLongerThanTheFormatAllowsIsRefusedUnread) {
  TemporaryFolder folder;
  const std::uint64_t size = SafetensorsHeader::kMaxBytes + 1;
  testing::WriteBytes(folder / "a", std::string(reinterpret_cast<const char*>(&size), 8));
  std::filesystem::resize_file(folder / "a", size + 8);
  EXPECT_EQ(SafetensorsFile::Open(folder / "a").error().code, Code::kDataLoss);
}

TEST(Safetensors, ShardsAndTheirIndexHoldEveryTensorOnce) {
  TemporaryFolder folder;
  const std::vector<TensorSpec> specs = {{"a", DataType::kF32, {4, 4}},
                                         {"b", DataType::kBF16, {8}},
                                         {"c", DataType::kF32, {100}},
                                         {"d", DataType::kF16, {2, 2}}};
  auto sink = NewSafetensors(folder / "model.safetensors", specs, 80);
  ASSERT_TRUE(sink) << sink.error().message;
  for (const TensorSpec& spec : specs) {
    ASSERT_TRUE((*sink)->Write(std::vector<std::byte>(spec.bytes())));
  }
  EXPECT_EQ(folder.entries(), 0);  // nothing before it is whole
  ASSERT_TRUE((*sink)->Commit());
  EXPECT_EQ(folder.entries(), 4);
  const json index = json::parse(ReadBytes(folder / "model.safetensors.index.json"));
  EXPECT_EQ(index["metadata"]["total_size"], 64 + 16 + 400 + 8);
  const json expected = {{"a", "model-00001-of-00003.safetensors"},
                         {"b", "model-00001-of-00003.safetensors"},
                         {"c", "model-00002-of-00003.safetensors"},
                         {"d", "model-00003-of-00003.safetensors"}};
  EXPECT_EQ(index["weight_map"], expected);
  for (const TensorSpec& spec : specs) {
    const std::string name = expected[spec.name].get<std::string>();
    const auto file = SafetensorsFile::Open(folder / name);
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(file->Tensor(spec.name)->shape, spec.shape);
  }
}

}  // namespace
}  // namespace cloister::model
