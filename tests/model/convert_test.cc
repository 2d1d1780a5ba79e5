#include "model/convert.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cctype>
#include <cmath>
#include <cstring>
#include <fstream>
#include <set>

#include "base/file.h"
#include "model/chat_template.h"
#include "model/gguf/gguf_file.h"
#include "model/gguf/gguf_layout.h"
#include "model/huggingface/safetensors_writer.h"
#include "model/quantize.h"
#include "model/tokenizer.h"
#include "model/tokenizer/tokenizer_json.h"
#include "tests/base/temporary_folder.h"
#include "tests/model/fixture_folders.h"
#include "tests/model/test_models.h"

namespace cloister::model {
namespace {

using base::Code;
using testing::TemporaryFolder;

// Every tensor of both models in fp32, bit for bit.
void ExpectSameTensors(const std::filesystem::path& a, const std::filesystem::path& b) {
  const auto left = *ModelFiles::Open(a);
  const auto right = *ModelFiles::Open(b);
  EXPECT_EQ(*left->architecture(), *right->architecture());
  for (const NamedShape& expected : ExpectedTensors(*left->architecture())) {
    const auto x = left->Tensor(expected.name);
    const auto y = right->Tensor(expected.name);
    ASSERT_TRUE(x && y) << expected.name;
    EXPECT_EQ(x->shape, y->shape);
    const std::vector<float> xs = ToFloat(*x);
    const std::vector<float> ys = ToFloat(*y);
    ASSERT_EQ(std::memcmp(xs.data(), ys.data(), xs.size() * sizeof(float)), 0) << expected.name;
  }
}

// A copy of the llama fixture with a tokenizer (160 rows are too few for it: ids stay within).
void AddTokenizer(const std::filesystem::path& folder) {
  TokenizerData data = testing::TinyTokenizer();
  // The fixture's vocabulary has 160 rows: the bytes from 0 to 153, a merge and the special tokens.
  std::vector<std::string> pieces(data.pieces.begin(), data.pieces.begin() + 154);
  pieces.insert(pieces.end(), {"ab", "<s>", "<|im_end|>", "[tool]", "ï", "¿"});
  data.kinds.assign(pieces.size(), TokenKind::kNormal);
  data.kinds[155] = data.kinds[156] = TokenKind::kControl;
  data.kinds[157] = TokenKind::kUserDefined;
  data.pieces = pieces;
  data.merges = {{"ab", 1}};
  data.bos = 155;
  data.eos = 156;
  data.unknown = 155;
  data.adds_bos = true;
  ASSERT_TRUE(base::WriteFile(folder / "tokenizer.json", TokenizerJson(data)->dump()));
  const std::string chat =
      "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ "
      "'<|im_start|>system\nHi<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' "
      "+ message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ "
      "'<|im_start|>assistant\n' }}{% endif %}";
  ASSERT_TRUE(
      base::WriteFile(folder / "tokenizer_config.json", TokenizerConfigJson(data, chat).dump()));
}

// What is told of a tensor without reading it.
void ExpectTrueDescriptions(const std::filesystem::path& path) {
  const auto model = *ModelFiles::Open(path);
  for (const std::string& name : model->TensorNames()) {
    const auto tensor = model->Tensor(name);
    const auto description = model->Describe(name);
    ASSERT_TRUE(tensor && description) << name;
    EXPECT_EQ(description->type, tensor->type) << name;
    EXPECT_EQ(description->shape, tensor->shape) << name;
  }
}

class ConvertFixture : public ::testing::TestWithParam<std::filesystem::path> {
 protected:
  const std::filesystem::path& source() const { return GetParam(); }
};

TEST_P(ConvertFixture, FolderToGgufAndBackIsBitEqual) {
  TemporaryFolder folder;
  const auto there = Convert(source(), folder / "m.gguf", std::nullopt);
  const Architecture a = *(*ModelFiles::Open(source()))->architecture();
  if (a.latent && a.rope.type == Rope::Type::kLlama3) {  // llama.cpp has no such network
    ASSERT_FALSE(there);
    EXPECT_EQ(there.error().code, base::Code::kUnimplemented);
    EXPECT_NE(there.error().message.find("GGUF cannot hold"), std::string::npos);
    return;
  }
  ASSERT_TRUE(there) << there.error().message;
  EXPECT_EQ(there->format, "gguf");
  EXPECT_EQ(there->bytes, std::filesystem::file_size(folder / "m.gguf"));
  ExpectSameTensors(source(), folder / "m.gguf");
  ExpectTrueDescriptions(folder / "m.gguf");
  const auto back = Convert(folder / "m.gguf", folder / "back", std::nullopt);
  ASSERT_TRUE(back) << back.error().message;
  ExpectSameTensors(source(), folder / "back");
  EXPECT_EQ(folder.entries(), 2);
}

INSTANTIATE_TEST_SUITE_P(All, ConvertFixture, ::testing::ValuesIn(fixtures::FixtureFolders()),
                         [](const auto& info) {
                           std::string name = info.param.filename().string();
                           for (char& c : name) c = std::isalnum(c) != 0 ? c : '_';
                           return name + "_" + std::to_string(info.index);
                         });

// The permutation matters: without it q would be another matrix.
TEST(GgufLayout, StoresQueryRowsInPairs) {
  TemporaryFolder folder;
  ASSERT_TRUE(Convert(testing::LlamaFolder(), folder / "m.gguf", std::nullopt));
  const auto source = *ModelFiles::Open(testing::LlamaFolder());
  const std::vector<float> q = ToFloat(*source->Tensor("model.layers.0.self_attn.q_proj.weight"));
  const auto file = GgufFile::Open(folder / "m.gguf");
  for (const GgufFile::Entry& entry : file->entries()) {
    if (entry.name != "blk.0.attn_q.weight") continue;
    const std::vector<float> stored = ToFloat(entry.view);
    EXPECT_NE(stored, q);
    // Head 1's row 3 is the second half of its pair 1: half order row 16 + 8 + 1.
    EXPECT_TRUE(
        std::equal(stored.begin() + 19 * 64, stored.begin() + 20 * 64, q.begin() + 25 * 64));
    return;
  }
  FAIL() << "no attn_q";
}

TEST(GgufLayout, EveryRowMovesToItsOwnPlace) {
  std::vector<bool> taken(64);
  for (std::int64_t row = 0; row < 64; ++row) {
    const std::int64_t to = PairOrder{16, 0, 16}.HalfRowOf(row);
    EXPECT_EQ(to / 16, row / 16);
    EXPECT_FALSE(taken[static_cast<std::size_t>(to)]);
    taken[static_cast<std::size_t>(to)] = true;
  }
}

TEST(GgufLayout, OnlyTheRotaryPartOfAHeadMoves) {
  const PairOrder order = {.head_rows = 12, .first = 4, .rows = 8};
  EXPECT_EQ(order.HalfRowOf(12 + 3), 12 + 3);
  EXPECT_EQ(order.HalfRowOf(12 + 4), 12 + 4);
  EXPECT_EQ(order.HalfRowOf(12 + 5), 12 + 8);
  EXPECT_EQ(order.HalfRowOf(12 + 6), 12 + 5);
}

TEST(Convert, TokenizerAndTemplateGoAlong) {
  TemporaryFolder folder;
  std::filesystem::copy(testing::LlamaFolder(), folder / "hf");
  AddTokenizer(folder / "hf");
  ASSERT_TRUE(Convert(folder / "hf", folder / "m.gguf", std::nullopt));
  ASSERT_TRUE(Convert(folder / "m.gguf", folder / "back", std::nullopt));
  for (const char* name : {"hf", "m.gguf", "back"}) {
    const auto files = *ModelFiles::Open(folder / name);
    const auto tokenizer = files->LoadTokenizer();
    ASSERT_TRUE(tokenizer) << name << ": " << tokenizer.error().message;
    const std::vector<TokenId> expected = {155, 154, 'b', 157, 156};
    EXPECT_EQ((*tokenizer)->Encode("abb[tool]<|im_end|>", {true, true}), expected) << name;
    EXPECT_TRUE((*tokenizer)->adds_bos()) << name;
    const auto chat = files->LoadChatTemplate();
    ASSERT_TRUE(chat) << name;
    EXPECT_EQ(*(*chat)->Render(
                  {{"messages", nlohmann::ordered_json::array()}, {"add_generation_prompt", true}}),
              "<|im_start|>assistant\n");
  }
}

TEST(Convert, ReadsEndTokensFromGenerationConfigFirst) {
  TemporaryFolder folder;
  std::filesystem::copy(testing::LlamaFolder(), folder / "hf");
  ASSERT_TRUE(
      base::WriteFile(folder / "hf" / "generation_config.json", R"({"eos_token_id": [7, 5, 9]})"));
  const std::vector<std::int64_t> expected = {7, 5, 9};
  ASSERT_TRUE(Convert(folder / "hf", folder / "m.gguf", std::nullopt));
  ASSERT_TRUE(Convert(folder / "m.gguf", folder / "back", std::nullopt));
  for (const char* name : {"hf", "m.gguf", "back"}) {
    EXPECT_EQ((*ModelFiles::Open(folder / name))->architecture()->eos_token_ids, expected) << name;
  }
}

TEST(Convert, TypesAreSetAndNormsStayWide) {
  TemporaryFolder folder;
  ASSERT_TRUE(Convert(testing::LlamaFolder(), folder / "m.gguf", DataType::kF16));
  ASSERT_TRUE(Convert(testing::LlamaFolder(), folder / "hf", DataType::kBF16));
  const auto gguf = *ModelFiles::Open(folder / "m.gguf");
  const auto hf = *ModelFiles::Open(folder / "hf");
  EXPECT_EQ(gguf->Tensor("lm_head.weight")->type, DataType::kF16);
  EXPECT_EQ(gguf->Tensor("model.norm.weight")->type, DataType::kF32);
  EXPECT_EQ(hf->Tensor("model.norm.weight")->type, DataType::kBF16);
  // Types are kept where the format can hold them.
  ASSERT_TRUE(Convert(folder / "hf", folder / "kept.gguf", std::nullopt));
  const auto kept = *ModelFiles::Open(folder / "kept.gguf");
  EXPECT_EQ(kept->Tensor("lm_head.weight")->type, DataType::kBF16);
}

TEST(Convert, RefusesOutputsThatNameNoModel) {
  TemporaryFolder folder;
  std::filesystem::create_symlink(folder / "nowhere", folder / "link");
  for (const char* name : {".gguf", "m-00001-of-00003.gguf", "link"}) {
    const auto written = Convert(testing::LlamaFolder(), folder / name, std::nullopt);
    ASSERT_FALSE(written) << name;
    EXPECT_EQ(written.error().code, Code::kInvalidArgument) << written.error().message;
    EXPECT_NE(written.error().message.find(name), std::string::npos) << written.error().message;
  }
  EXPECT_EQ(folder.entries(), 1);
}

TEST(Convert, WritesTheFileThatALinkNames) {
  TemporaryFolder folder;
  testing::WriteBytes(folder / "there.gguf", "old");
  std::filesystem::create_symlink("there.gguf", folder / "link.gguf");
  ASSERT_TRUE(Convert(testing::LlamaFolder(), folder / "link.gguf", std::nullopt));
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link.gguf"));
  ExpectSameTensors(testing::LlamaFolder(), folder / "there.gguf");
  std::filesystem::create_symlink("nowhere.gguf", folder / "loose.gguf");
  EXPECT_EQ(Convert(testing::LlamaFolder(), folder / "loose.gguf", std::nullopt).error().code,
            Code::kInvalidArgument);
}

TEST(Convert, WritesIntoTheEmptyFolderThatOneStandsIn) {
  TemporaryFolder folder;
  std::filesystem::create_directory(folder / "here");
  ASSERT_TRUE(Convert(testing::LlamaFolder(), folder / "here" / ".", std::nullopt));
  ExpectSameTensors(testing::LlamaFolder(), folder / "here");
  EXPECT_EQ(folder.entries(), 1);
}

// Both parts of latent attention's up-projection, whose rows have other lengths, keep their types.
TEST(Convert, KeepsTheTypesAndBitsOfAQuantizedLatentProjection) {
  TemporaryFolder folder;
  const auto source = std::filesystem::path(CLOISTER_TEST_DATA) / "models/deepseek-v2";
  ASSERT_TRUE(QuantizeModel(source, folder / "q.gguf", DataType::kQ8_0));
  ASSERT_TRUE(Convert(folder / "q.gguf", folder / "again.gguf", std::nullopt));
  const auto first = *GgufFile::Open(folder / "q.gguf");
  const auto second = *GgufFile::Open(folder / "again.gguf");
  ASSERT_EQ(first.entries().size(), second.entries().size());
  std::set<DataType> types;
  for (std::size_t i = 0; i < first.entries().size(); ++i) {
    const auto &a = first.entries()[i], &b = second.entries()[i];
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.view.type, b.view.type) << a.name;
    EXPECT_TRUE(std::ranges::equal(a.view.data, b.view.data)) << a.name;
    if (a.name.find("attn_k_b") != std::string::npos ||
        a.name.find("attn_v_b") != std::string::npos) {
      types.insert(a.view.type);
    }
  }
  EXPECT_GT(types.size(), 1U) << "the two parts differ in type here";
}

TEST(Convert, WritesIntoTheFolderThatALinkNames) {
  TemporaryFolder folder;
  std::filesystem::create_directory(folder / "there");
  std::filesystem::create_symlink("there", folder / "link");
  ASSERT_TRUE(Convert(testing::LlamaFolder(), folder / "link", std::nullopt));
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  ExpectSameTensors(testing::LlamaFolder(), folder / "there");
  EXPECT_EQ(folder.entries(), 2);
}

TEST(Convert, RefusesAnExistingFolderAndLeavesItAlone) {
  TemporaryFolder folder;
  std::filesystem::create_directory(folder / "out");
  testing::WriteBytes(folder / "out" / "mine", "keep");
  const auto written = Convert(testing::LlamaFolder(), folder / "out", std::nullopt);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, Code::kAlreadyExists);
  EXPECT_EQ(folder.entries(), 1);
  EXPECT_EQ(testing::ReadBytes(folder / "out" / "mine"), "keep");
}

TEST(Convert, LeavesNothingBehindWhenAWeightIsNotFinite) {
  TemporaryFolder folder;
  std::filesystem::copy(testing::LlamaFolder(), folder / "hf");
  std::string bytes = testing::ReadBytes(folder / "hf" / "model.safetensors");
  const float nan = std::nanf("");
  std::uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof header);
  std::memcpy(bytes.data() + 8 + header, &nan, sizeof nan);  // the first tensor's first weight
  testing::WriteBytes(folder / "hf" / "model.safetensors", bytes);
  for (const char* name : {"m.gguf", "out"}) {
    const auto written = Convert(folder / "hf", folder / name, DataType::kF16);
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().code, Code::kDataLoss);
    EXPECT_NE(written.error().message.find("lm_head.weight"), std::string::npos)
        << written.error().message;
  }
  EXPECT_EQ(folder.entries(), 1);
}

TEST(Convert, RemovesWhatAKilledProcessLeftOfTheSameFolder) {
  TemporaryFolder folder;
  const pid_t dead = ::fork();
  if (dead == 0) ::_exit(0);
  ASSERT_EQ(::waitpid(dead, nullptr, 0), dead);
  std::filesystem::create_directories(folder / ("out.tmp." + std::to_string(dead)) / "x");
  ASSERT_TRUE(Convert(testing::LlamaFolder(), folder / "out", std::nullopt));
  EXPECT_EQ(folder.entries(), 1);
}

TEST(Convert, AFolderWithTheNameOfTheFileIsToldBeforeTheWork) {
  TemporaryFolder folder;
  std::filesystem::create_directory(folder / "d.gguf");
  ::testing::internal::CaptureStderr();
  const auto written = Convert(testing::LlamaFolder(), folder / "d.gguf", std::nullopt);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");  // no progress
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().message.find("remove it"), std::string::npos);
}

TEST(QuantizeModel, ABeyondRangeErrorNamesACommandThatCanHoldTheValue) {
  TemporaryFolder folder;
  std::filesystem::copy(testing::LlamaFolder(), folder / "hf");
  std::string bytes = testing::ReadBytes(folder / "hf" / "model.safetensors");
  const float large = 1e6f;
  std::uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof header);
  std::memcpy(bytes.data() + 8 + header, &large, sizeof large);
  testing::WriteBytes(folder / "hf" / "model.safetensors", bytes);
  const auto written = QuantizeModel(folder / "hf", folder / "q.gguf", DataType::kQ8_0);
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().message.find("cloister model convert"), std::string::npos)
      << written.error().message;
}

TEST(QuantizeModel, MatricesBecomeBlocksAndVectorsStay) {
  TemporaryFolder folder;
  const auto written = QuantizeModel(testing::LlamaFolder(), folder / "q.gguf", DataType::kQ8_0);
  ASSERT_TRUE(written) << written.error().message;
  const auto files = *ModelFiles::Open(folder / "q.gguf");
  const auto source = *ModelFiles::Open(testing::LlamaFolder());
  EXPECT_EQ(files->Tensor("model.embed_tokens.weight")->type, DataType::kQ8_0);
  EXPECT_EQ(files->Tensor("model.norm.weight")->type, DataType::kF32);
  const std::string name = "model.layers.1.self_attn.k_proj.weight";
  const TensorView view = *files->Tensor(name);
  const std::vector<float> exact = ToFloat(*source->Tensor(name));
  std::vector<std::byte> expected(view.data.size());
  Quantize(DataType::kQ8_0, exact.data(), expected.data(), static_cast<std::int64_t>(exact.size()));
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), view.data.begin(), view.data.end()));
}

TEST(QuantizeModel, RefusesOtherOutputsAndTypes) {
  TemporaryFolder folder;
  EXPECT_EQ(QuantizeModel(testing::LlamaFolder(), folder / "q", DataType::kQ8_0).error().code,
            Code::kInvalidArgument);
  EXPECT_EQ(QuantizeModel(testing::LlamaFolder(), folder / "q.gguf", DataType::kF16).error().code,
            Code::kInvalidArgument);
  EXPECT_EQ(Convert(testing::LlamaFolder(), folder / "q.gguf", DataType::kQ8_0).error().code,
            Code::kInvalidArgument);
  EXPECT_EQ(folder.entries(), 0);
}

}  // namespace
}  // namespace cloister::model
