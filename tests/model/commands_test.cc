#include "cli/model/commands.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "model/gguf/gguf_writer.h"
#include "model/huggingface/safetensors_writer.h"
#include "model/model_files.h"
#include "tests/base/temporary_folder.h"
#include "tests/model/test_models.h"

namespace cloister::cli {
namespace {

using nlohmann::json;
using testing::TemporaryFolder;

struct Outcome {
  int status = 0;
  std::string out;
  std::string error;
};

Outcome Cli(std::vector<std::string> words) {
  words.insert(words.begin(), "cloister");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const std::vector<Command> commands = ModelCommands();
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  Outcome outcome;
  outcome.status = Main(commands, "cloister", static_cast<int>(words.size()), argv.data());
  outcome.out = ::testing::internal::GetCapturedStdout();
  outcome.error = ::testing::internal::GetCapturedStderr();
  return outcome;
}

json CliJson(std::vector<std::string> words) {
  words.push_back("--json");
  const Outcome outcome = Cli(std::move(words));
  EXPECT_EQ(outcome.status, 0) << outcome.error;
  return json::parse(outcome.out, nullptr, false);
}

// A GGUF file with the tiny vocabulary and no tensors.
std::string Vocabulary(const TemporaryFolder& folder) {
  const model::TokenizerData data = testing::TinyTokenizer();
  model::GgufMetadata metadata;
  metadata.AddString("general.architecture", "llama");
  metadata.AddString("tokenizer.ggml.model", "gpt2");
  metadata.AddString("tokenizer.ggml.pre", "smollm");
  metadata.AddStrings("tokenizer.ggml.tokens", data.pieces);
  std::vector<std::int32_t> types(data.pieces.size(), 1);
  types[259] = types[260] = 3;
  types[261] = 4;
  metadata.AddInt32s("tokenizer.ggml.token_type", types);
  metadata.AddStrings("tokenizer.ggml.merges", std::vector<std::string>{"a b", "ab c", "b c"});
  metadata.AddUint32("tokenizer.ggml.bos_token_id", 259);
  EXPECT_TRUE((*model::NewGguf(folder / "v.gguf", metadata, {}))->Commit());
  return folder / "v.gguf";
}

TEST(TokenizeCommand, PrintsIdsAndText) {
  TemporaryFolder folder;
  const std::string model = Vocabulary(folder);
  const auto ids = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"tokenize", "--model", model});
    return CliJson(more)["ids"];
  };
  EXPECT_EQ(ids({"--text", "abc<s>"}), json({257, '<', 's', '>'}));
  EXPECT_EQ(ids({"--text", "abc<s>", "--special", "--bos"}), json({259, 257, 259}));
  EXPECT_EQ(ids({"--text", ""}), json::array());
  EXPECT_EQ(ids({"--text="}), json::array());
  EXPECT_EQ(ids({"--text=-a"}), json({'-', 'a'}));
  testing::WriteBytes(folder / "bytes", std::string("\0\xff\n", 3));
  EXPECT_EQ(ids({"--file", folder / "bytes"}), json({0, 255, '\n'}));
  EXPECT_EQ(CliJson({"tokenize", "--model", model, "--decode", "257,259, 97"})["text"], "abc<s>a");
  EXPECT_EQ(CliJson({"tokenize", "--model", model, "--decode="})["text"], "");
  EXPECT_EQ(Cli({"tokenize", "--model", model, "--text", "abc"}).out, "257\n");
}

TEST(TokenizeCommand, RefusesWrongUse) {
  TemporaryFolder folder;
  const std::string model = Vocabulary(folder);
  const std::vector<std::vector<std::string>> wrong = {
      {},
      {"--text", "a", "--file", "b"},
      {"--decode", "1,x"},
      {"--decode", "1,,2"},
      {"--decode", "1,"},
      {"--decode", "262"},
      {"--decode=-1"},
      {"--decode", "99999999999"},
      {"--decode", "1", "--bos"},
      {"--text", "a", "--nonsense"},
  };
  for (std::vector<std::string> words : wrong) {
    words.insert(words.begin(), {"tokenize", "--model", model});
    const Outcome outcome = Cli(words);
    EXPECT_EQ(outcome.status, 2) << outcome.error;
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(outcome.error.rfind("error: ", 0), 0u) << outcome.error;
    EXPECT_EQ(std::count(outcome.error.begin(), outcome.error.end(), '\n'), 1) << outcome.error;
  }
}

TEST(TokenizeCommand, NamesTheTokenizerThatIsMissing) {
  const Outcome outcome = Cli({"tokenize", "--model", testing::LlamaFolder(), "--text", "a"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.error.find("tokenizer.json"), std::string::npos);
}

TEST(InspectCommand, SummarizesFoldersFilesAndBareVocabularies) {
  TemporaryFolder folder;
  const json fixture = CliJson({"model", "inspect", testing::LlamaFolder()});
  EXPECT_EQ(fixture["format"], "huggingface");
  EXPECT_EQ(fixture["layers"], 2);
  EXPECT_EQ(fixture["tensors"], 21);
  EXPECT_EQ(fixture["types"]["f32"], 21);
  EXPECT_TRUE(fixture["tokenizer"].is_null());
  const json tied = CliJson({"model", "inspect", testing::TiedFolder()});
  EXPECT_EQ(tied["rope"], "llama3");
  EXPECT_EQ(tied["tied_embeddings"], true);
  // A vocabulary alone has no network, which is no damage.
  const json vocabulary = CliJson({"model", "inspect", Vocabulary(folder)});
  EXPECT_EQ(vocabulary["supported"], false);
  EXPECT_NE(vocabulary["tokenizer"].get<std::string>().find("262 tokens"), std::string::npos);
  EXPECT_EQ(Cli({"model", "inspect", folder / "absent"}).status, 1);
}

// What the file holds, not what the network makes of it.
TEST(InspectCommand, CountsTheBytesOfAQuantizedLatentProjection) {
  TemporaryFolder folder;
  const std::string path = folder / "q.gguf";
  const auto model = std::filesystem::path(CLOISTER_TEST_DATA) / "models/deepseek-v2";
  ASSERT_EQ(Cli({"quantize", "--model", model, "--output", path, "--type", "q8_0"}).status, 0);
  const json summary = CliJson({"model", "inspect", path});
  EXPECT_LT(summary["tensor_bytes"].get<std::uint64_t>(), std::filesystem::file_size(path));
  EXPECT_GT(summary["types"]["f16"], 0);
}

// The llama fixture as GGUF with the type of `tensor`, which has `dimensions`, made q6_k.
std::string WithUnsupportedType(const std::filesystem::path& fixture, const std::string& tensor,
                                std::size_t dimensions, const TemporaryFolder& folder) {
  std::string path = folder / "m.gguf";
  EXPECT_EQ(Cli({"model", "convert", "--input", fixture, "--output", path}).status, 0);
  std::string bytes = testing::ReadBytes(path);
  bytes[bytes.find(tensor) + tensor.size() + 4 + 8 * dimensions] = 10;
  testing::WriteBytes(path, bytes);
  return path;
}

TEST(InspectCommand, SummarizesAModelWithATensorOfAnotherType) {
  TemporaryFolder folder;
  const std::string path =
      WithUnsupportedType(testing::LlamaFolder(), "blk.0.ffn_up.weight", 2, folder);
  const json summary = CliJson({"model", "inspect", path});
  EXPECT_EQ(summary["supported"], false);
  EXPECT_NE(summary["note"].get<std::string>().find("its type q2_k"), std::string::npos);
  EXPECT_EQ(summary["layers"], 2);
  EXPECT_EQ(summary["types"], json({{"f32", 20}, {"unsupported", 1}}));
  EXPECT_TRUE(summary["parameters"].is_null());
  EXPECT_EQ(
      Cli({"quantize", "--model", path, "--output", folder / "q.gguf", "--type", "q8_0"}).status,
      2);
}

TEST(InspectCommand, LooksAtEveryWeightWhenAsked) {
  TemporaryFolder folder;
  const std::string path = folder / "m.gguf";
  ASSERT_EQ(Cli({"model", "convert", "--input", testing::LlamaFolder(), "--output", path}).status,
            0);
  EXPECT_EQ(Cli({"model", "inspect", path, "--check"}).status, 0);
  std::string bytes = testing::ReadBytes(path);
  // The file's last tensor is one of F32.
  bytes.replace(bytes.size() - 36, 4, std::string("\0\0\xc0\x7f", 4));
  testing::WriteBytes(path, bytes);
  EXPECT_EQ(Cli({"model", "inspect", path}).status, 0);
  const Outcome checked = Cli({"model", "inspect", path, "--check"});
  EXPECT_EQ(checked.status, 1);
  EXPECT_NE(checked.error.find("holds a value that is not finite"), std::string::npos)
      << checked.error;
  EXPECT_NE(checked.error.find("m.gguf: tensor "), std::string::npos) << checked.error;
  EXPECT_EQ(
      Cli({"quantize", "--model", path, "--output", folder / "q.gguf", "--type", "q4_0"}).status,
      1);
}

TEST(InspectCommand, RopeFrequenciesOfAnotherTypeAreRefused) {
  TemporaryFolder folder;
  const std::string path =
      WithUnsupportedType(testing::TiedFolder(), "rope_freqs.weight", 1, folder);
  const Outcome outcome = Cli({"model", "inspect", path});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.error.find("rope_freqs.weight"), std::string::npos) << outcome.error;
}

TEST(InspectCommand, SummarizesAModelWithATensorThatTheNetworkDoesNotHave) {
  TemporaryFolder folder;
  std::filesystem::create_directory(folder / "m");
  std::filesystem::copy(testing::LlamaFolder() / "config.json", folder / "m");
  const auto files = *model::ModelFiles::Open(testing::LlamaFolder());
  const std::string bias = "model.layers.0.self_attn.q_proj.bias";
  std::vector<model::TensorSpec> specs;
  for (const std::string& name : files->TensorNames()) {
    specs.push_back({name, model::DataType::kF32, files->Tensor(name)->shape});
  }
  specs.push_back({bias, model::DataType::kF32, {64}});
  auto sink = *model::NewSafetensors(folder / "m" / "model.safetensors", specs);
  for (const model::TensorSpec& spec : specs) {
    ASSERT_TRUE(sink->Write(std::vector<std::byte>(spec.bytes())));
  }
  ASSERT_TRUE(sink->Commit());
  const json summary = CliJson({"model", "inspect", folder / "m"});
  EXPECT_EQ(summary["supported"], false);
  EXPECT_NE(summary["note"].get<std::string>().find(bias), std::string::npos);
  EXPECT_EQ(summary["types"]["f32"], 22);
}

TEST(InspectCommand, RefusesATruncatedModel) {
  TemporaryFolder folder;
  ASSERT_EQ(
      Cli({"model", "convert", "--input", testing::LlamaFolder(), "--output", folder / "m.gguf"})
          .status,
      0);
  std::filesystem::resize_file(folder / "m.gguf", 200000);
  const Outcome outcome = Cli({"model", "inspect", folder / "m.gguf"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.error.find("m.gguf"), std::string::npos);
  const Outcome converted =
      Cli({"model", "convert", "--input", folder / "m.gguf", "--output", folder / "out"});
  EXPECT_EQ(converted.status, 1);
  EXPECT_EQ(folder.entries(), 1);
}

TEST(WriteCommands, PrintTheKeysOfTheContract) {
  TemporaryFolder folder;
  const std::string gguf = folder / "m.gguf";
  const json converted =
      CliJson({"model", "convert", "--input", testing::TiedFolder(), "--output", gguf});
  EXPECT_EQ(converted["output"], gguf);
  EXPECT_EQ(converted["format"], "gguf");
  EXPECT_EQ(converted["tensors"], 21);  // 20 and rope_freqs.weight
  EXPECT_EQ(converted["bytes"], std::filesystem::file_size(gguf));
  const json quantized =
      CliJson({"quantize", "--model", gguf, "--output", folder / "q.gguf", "--type", "Q8_0"});
  EXPECT_EQ(quantized["bytes"], std::filesystem::file_size(folder / "q.gguf"));
  EXPECT_GT(quantized["bits_per_weight"].get<double>(), 8.5);
  EXPECT_LT(quantized["bits_per_weight"].get<double>(), 9.0);
}

TEST(WriteCommands, NameTypesThatAreNotBuiltOrDoNotFit) {
  TemporaryFolder folder;
  const std::string model = testing::LlamaFolder();
  const auto status = [&](std::vector<std::string> words) {
    const Outcome outcome = Cli(std::move(words));
    EXPECT_EQ(outcome.error.rfind("error: ", 0), 0u) << outcome.error;
    return outcome.status;
  };
  const std::string out = folder / "q.gguf";
  EXPECT_EQ(status({"quantize", "--model", model, "--output", out, "--type", "q2_k"}), 2);
  EXPECT_EQ(status({"quantize", "--model", model, "--output", out, "--type", "f16"}), 2);
  EXPECT_EQ(status({"quantize", "--model", model, "--output", folder / "q", "--type", "q8_0"}), 2);
  EXPECT_EQ(status({"model", "convert", "--input", model, "--output", out, "--type", "q8_0"}), 2);
  EXPECT_EQ(
      status({"model", "merge", "--model", model, "--adapter", folder / "no", "--output", out}), 1);
  EXPECT_EQ(folder.entries(), 0);
}

TEST(WriteCommands, TellHowToMendWrongFlags) {
  TemporaryFolder folder;
  const std::string model = testing::LlamaFolder();
  const std::string out = folder / "q.gguf";
  const std::vector<std::pair<std::vector<std::string>, std::string>> wrong = {
      {{"model", "convert", "--input", model, "--output", ""}, "--output is empty: "},
      {{"quantize", "--model", model, "--output", "", "--type", "q8_0"}, "--output is empty: "},
      {{"model", "convert", "--input", model, "--output", out, "--type", "f64"},
       "--type f64 is no type of weights: use f32, f16 or bf16\n"},
      {{"quantize", "--model", model, "--output", out, "--type", "q2_k"},
       "--type q2_k is not built yet: use q8_0, q6_k, q5_k, q4_k, q5_1, q5_0, q4_1 or q4_0\n"},
  };
  for (const auto& [words, message] : wrong) {
    const Outcome outcome = Cli(words);
    EXPECT_EQ(outcome.status, 2);
    EXPECT_EQ(outcome.error.rfind("error: " + message, 0), 0u) << outcome.error;
  }
  EXPECT_EQ(folder.entries(), 0);
}

TEST(WriteCommands, TheBarTellsNoMoreThanWasWritten) {
  TemporaryFolder folder;
  const std::string gguf = folder / "m.gguf";
  const Outcome outcome =
      Cli({"model", "convert", "--input", testing::LlamaFolder(), "--output", gguf});
  std::uint64_t done = 0, total = 0;
  ASSERT_EQ(std::sscanf(outcome.error.c_str(), "convert %lu/%lu KiB", &done, &total), 2)
      << outcome.error;
  EXPECT_EQ(done, total);
  EXPECT_GT(done, 0u);
  EXPECT_LE(done * 1024, std::filesystem::file_size(gguf));
}

}  // namespace
}  // namespace cloister::cli
