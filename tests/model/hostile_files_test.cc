#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>

#include "model/convert.h"
#include "model/gguf/gguf_file.h"
#include "model/gguf/gguf_writer.h"
#include "model/huggingface/safetensors_file.h"
#include "model/huggingface/safetensors_writer.h"
#include "model/model_files.h"
#include "model/tokenizer.h"
#include "tests/base/temporary_folder.h"
#include "tests/model/test_models.h"

namespace cloister::model {
namespace {

using base::Code;
using testing::ReadBytes;
using testing::TemporaryFolder;
using testing::WriteBytes;

// A GGUF file with a vocabulary and the tensors `specs`, all zero.
std::string SmallGguf(const std::filesystem::path& path, std::vector<TensorSpec> specs) {
  GgufMetadata metadata;
  metadata.AddString("general.architecture", "llama");
  metadata.AddUint32("llama.block_count", 1);
  metadata.AddString("tokenizer.ggml.model", "gpt2");
  metadata.AddString("tokenizer.ggml.pre", "smollm");
  const TokenizerData data = testing::TinyTokenizer();
  metadata.AddStrings("tokenizer.ggml.tokens", data.pieces);
  metadata.AddInt32s("tokenizer.ggml.token_type", std::vector<std::int32_t>(262, 1));
  metadata.AddStrings("tokenizer.ggml.merges", std::vector<std::string>{"a b", "ab c", "b c"});
  auto sink = *NewGguf(path, metadata, specs);
  for (const TensorSpec& spec : specs) {
    EXPECT_TRUE(sink->Write(std::vector<std::byte>(spec.bytes())));
  }
  EXPECT_TRUE(sink->Commit());
  return ReadBytes(path);
}

const std::vector<TensorSpec> kTwo = {{"token_embd.weight", DataType::kF32, {4, 32}},
                                      {"blk.0.ffn_up.weight", DataType::kQ8_0, {2, 64}}};
constexpr std::size_t kTwoBytes = 512 + 2 * 2 * 34 + 24;  // with the padding

// What copies or prints a value calls itself for each level.
TEST(HostileConfig, NestedDeeplyIsRefused) {
  TemporaryFolder folder;
  std::filesystem::copy(testing::LlamaFolder(), folder / "m");
  const std::string deep = std::string(200'000, '[') + std::string(200'000, ']');
  WriteBytes(folder / "m" / "generation_config.json", "{\"eos_token_id\": " + deep + "}");
  const auto files = ModelFiles::Open(folder / "m");
  const bool refused = !files || !(*files)->architecture();
  EXPECT_TRUE(refused);
  WriteBytes(folder / "m" / "config.json", "{\"auto_map\": " + deep + "}");
  EXPECT_EQ(Convert(folder / "m", folder / "out", std::nullopt).error().code, Code::kDataLoss);
}

TEST(HostileConfig, PipeIsNotWaitedFor) {
  TemporaryFolder folder;
  std::filesystem::create_directory(folder / "m");
  ASSERT_EQ(::mkfifo((folder / "m" / "config.json").c_str(), 0600), 0);
  const auto files = ModelFiles::Open(folder / "m");
  ASSERT_FALSE(files);
  EXPECT_NE(files.error().message.find("no regular file"), std::string::npos)
      << files.error().message;
}

TEST(HostileGguf, TruncatedOrChangedHeadersGiveOneError) {
  TemporaryFolder folder;
  const std::string bytes = SmallGguf(folder / "good.gguf", kTwo);
  const std::filesystem::path path = folder / "bad.gguf";
  testing::ExpectDamageIsNoticed(bytes, bytes.size() - kTwoBytes, path, [&] {
    const auto files = ModelFiles::Open(path);
    if (!files) return files.error().message.find("bad.gguf") != std::string::npos;
    for (const std::string& name : (*files)->TensorNames()) {
      if (const auto tensor = (*files)->Tensor(name)) (void)ToFloat(*tensor);
    }
    (void)(*files)->LoadTokenizer();
    return true;
  });
}

TEST(HostileGguf, AFileCutOffInItsTensorsIsRefused) {
  TemporaryFolder folder;
  const std::string bytes = SmallGguf(folder / "a.gguf", kTwo);
  for (const std::size_t missing : {std::size_t{25}, std::size_t{200}, kTwoBytes}) {
    WriteBytes(folder / "a.gguf", bytes.substr(0, bytes.size() - missing));
    const auto file = GgufFile::Open(folder / "a.gguf");
    ASSERT_FALSE(file) << missing;
    EXPECT_EQ(file.error().code, Code::kDataLoss);
  }
}

// Overwrites the u64 after the first occurrence of `text` plus `skip` bytes.
std::string Patched(std::string bytes, const std::string& text, std::size_t skip,
                    std::uint64_t value) {
  const std::size_t at = bytes.find(text);
  EXPECT_NE(at, std::string::npos);
  std::memcpy(bytes.data() + at + text.size() + skip, &value, sizeof value);
  return bytes;
}

TEST(HostileGguf, PlacesOfTensorsAreChecked) {
  TemporaryFolder folder;
  const std::string bytes = SmallGguf(folder / "a.gguf", kTwo);
  const std::string second = "blk.0.ffn_up.weight";
  // After the name: u32 dimensions, two u64 sizes, u32 type, u64 offset.
  const std::vector<std::pair<std::string, std::string>> cases = {
      {Patched(bytes, second, 24, 0), "overlaps"},
      {Patched(bytes, second, 24, 500), "aligned"},
      {Patched(bytes, second, 24, std::uint64_t{1} << 40), "outside"},
      {Patched(bytes, second, 24, ~std::uint64_t{31}), "outside"},
      {Patched(bytes, second, 4, 33), "blocks"},
      {Patched(bytes, second, 4, 0), "sizes"},
      {Patched(bytes, second, 12, std::uint64_t{1} << 60), "sizes"},
      {Patched(bytes, second, 12, std::uint64_t{1} << 47), "sizes"},
  };
  for (const auto& [changed, word] : cases) {
    WriteBytes(folder / "a.gguf", changed);
    const auto file = GgufFile::Open(folder / "a.gguf");
    ASSERT_FALSE(file) << word;
    EXPECT_EQ(file.error().code, Code::kDataLoss) << word;
    EXPECT_NE(file.error().message.find(word), std::string::npos) << file.error().message;
    EXPECT_NE(file.error().message.find(second), std::string::npos) << file.error().message;
  }
}

TEST(HostileGguf, CountsBeyondTheFileAreRefusedWithoutAllocating) {
  TemporaryFolder folder;
  const std::string bytes = SmallGguf(folder / "a.gguf", kTwo);
  for (const std::size_t at : {std::size_t{8}, std::size_t{16}}) {
    for (const std::uint64_t count : {std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
      std::string changed = bytes;
      std::memcpy(changed.data() + at, &count, sizeof count);
      WriteBytes(folder / "a.gguf", changed);
      EXPECT_EQ(GgufFile::Open(folder / "a.gguf").error().code, Code::kDataLoss);
    }
  }
  // The array's u32 type, u32 element type, u64 count.
  WriteBytes(folder / "a.gguf", Patched(bytes, "tokenizer.ggml.tokens", 8, std::uint64_t{1} << 61));
  EXPECT_EQ(GgufFile::Open(folder / "a.gguf").error().code, Code::kDataLoss);
  WriteBytes(folder / "a.gguf", Patched(bytes, "tokenizer.ggml.pre", 4, ~std::uint64_t{0}));
  EXPECT_EQ(GgufFile::Open(folder / "a.gguf").error().code, Code::kDataLoss);
}

TEST(HostileGguf, OtherVersionsAreNamed) {
  TemporaryFolder folder;
  const std::string bytes = SmallGguf(folder / "a.gguf", kTwo);
  std::string changed = bytes;
  changed[4] = 1;
  WriteBytes(folder / "a.gguf", changed);
  EXPECT_EQ(GgufFile::Open(folder / "a.gguf").error().code, Code::kUnimplemented);
}

// The other tensors and the tokenizer can still be read.
TEST(HostileGguf, ATensorOfAnotherTypeIsNamedWhenItIsAskedFor) {
  TemporaryFolder folder;
  std::string bytes = SmallGguf(folder / "a.gguf", kTwo);
  bytes[bytes.find("blk.0.ffn_up.weight") + 19 + 20] = 10;
  WriteBytes(folder / "a.gguf", bytes);
  const auto files = ModelFiles::Open(folder / "a.gguf");
  ASSERT_TRUE(files) << files.error().message;
  int readable = 0;
  for (const std::string& name : (*files)->TensorNames()) {
    const auto tensor = (*files)->Tensor(name);
    if (tensor) {
      ++readable;
      continue;
    }
    EXPECT_EQ(tensor.error().code, Code::kUnimplemented);
    for (const std::string& word : {std::string("a.gguf"), name, std::string("q2_k (10)")}) {
      EXPECT_NE(tensor.error().message.find(word), std::string::npos) << tensor.error().message;
    }
  }
  EXPECT_EQ(readable, 1);
  EXPECT_TRUE((*files)->LoadTokenizer());
}

TEST(HostileGguf, PlacesOfTensorsOfAnotherTypeAreCheckedToo) {
  TemporaryFolder folder;
  std::string bytes = SmallGguf(folder / "a.gguf", kTwo);
  const std::string second = "blk.0.ffn_up.weight";
  bytes[bytes.find(second) + 19 + 20] = 10;
  for (const std::uint64_t offset :
       {std::uint64_t{0}, std::uint64_t{500}, std::uint64_t{1} << 40}) {
    WriteBytes(folder / "a.gguf", Patched(bytes, second, 24, offset));
    EXPECT_EQ(GgufFile::Open(folder / "a.gguf").error().code, Code::kDataLoss) << offset;
  }
}

TEST(HostileSafetensors, TruncatedOrChangedHeadersGiveOneError) {
  TemporaryFolder folder;
  const std::string bytes = ReadBytes(testing::LlamaFolder() / "model.safetensors");
  std::uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof header);
  const std::filesystem::path path = folder / "bad.safetensors";
  testing::ExpectDamageIsNoticed(bytes, header + 8, path, [&] {
    const auto file = SafetensorsFile::Open(path);
    if (!file) return file.error().message.find("bad.safetensors") != std::string::npos;
    for (const auto& [name, entry] : file->entries()) {
      if (const auto view = file->Tensor(name)) (void)ToFloat(*view);
    }
    return true;
  });
  WriteBytes(path, bytes.substr(0, bytes.size() - 1));
  EXPECT_EQ(SafetensorsFile::Open(path).error().code, Code::kDataLoss);
  WriteBytes(path, bytes + "x");
  EXPECT_EQ(SafetensorsFile::Open(path).error().code, Code::kDataLoss);
}

TEST(HostileSafetensors, HeadersThatLieAreRefused) {
  TemporaryFolder folder;
  const std::vector<std::string> headers = {
      "[]",
      "{",
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})",
      R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",   // leaves half uncovered
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}})",  // outside
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})",
      R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})",
      R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}})",
      R"({"a":{"dtype":"F32","shape":"2","data_offsets":[0,8]}})",
      R"({"a":{"dtype":"F32","shape":[2]}})",
      std::string(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)") +
          R"("b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",  // overlap
      std::string(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)") +
          R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",  // twice
  };
  for (const std::string& header : headers) {
    std::string bytes(8, '\0');
    const std::uint64_t size = header.size();
    std::memcpy(bytes.data(), &size, sizeof size);
    WriteBytes(folder / "a", bytes + header + std::string(8, '\0'));
    const auto file = SafetensorsFile::Open(folder / "a");
    ASSERT_FALSE(file) << header;
    EXPECT_EQ(file.error().code, Code::kDataLoss) << header;
  }
}

TEST(HostileFolder, AnIndexMayNotLeaveItsFolder) {
  TemporaryFolder folder;
  std::filesystem::copy(testing::LlamaFolder() / "config.json", folder.path());
  for (const std::string name : {"../model.safetensors", "/etc/passwd", "", ".safetensors", "x"}) {
    WriteBytes(folder / "model.safetensors.index.json",
               R"({"weight_map":{"model.norm.weight":")" + name + "\"}}");
    EXPECT_EQ(ModelFiles::Open(folder.path()).error().code, Code::kDataLoss) << name;
  }
  WriteBytes(folder / "model.safetensors.index.json",
             R"({"weight_map":{"model.norm.weight":"absent.safetensors"}})");
  EXPECT_EQ(ModelFiles::Open(folder.path()).error().code, Code::kNotFound);
}

TEST(HostileFolder, WeightsOfAnotherShapeAreRefused) {
  TemporaryFolder folder;
  std::filesystem::copy(testing::LlamaFolder(), folder / "m");
  std::string config = ReadBytes(folder / "m" / "config.json");
  config.replace(config.find("\"intermediate_size\": 96"), 23, "\"intermediate_size\": 64");
  WriteBytes(folder / "m" / "config.json", config);
  const auto files = ModelFiles::Open(folder / "m");
  ASSERT_TRUE(files);
  const base::Status status = CheckTensors(**files, *(*files)->architecture());
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kDataLoss);
  EXPECT_NE(status.error().message.find("gate_proj"), std::string::npos);
}

}  // namespace
}  // namespace cloister::model
