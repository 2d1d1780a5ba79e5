// The templates of models: what they are given besides the conversation.
#include "model/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/gguf/gguf_writer.h"
#include "model/model_files.h"
#include "tests/base/temporary_folder.h"
#include "tests/model/test_models.h"

namespace cloister::model {
namespace {

using nlohmann::ordered_json;
using ::testing::HasSubstr;
using testing::TemporaryFolder;
using testing::WriteBytes;

// Writes what a template gets.
constexpr char kShow[] =
    "{{ bos_token }}|{{ eos_token }}|{{ unk_token }}|{{ pad_token }}|{{ tools }}|{{ documents }}|"
    "{{ add_generation_prompt }}|{{ messages[0].content }}";

const ordered_json& Conversation() {
  static const ordered_json conversation = {{"messages", {{{"role", "user"}, {"content", "Hi"}}}}};
  return conversation;
}

// A model's folder with `files` and no weights.
std::shared_ptr<const ModelFiles> OpenWith(const TemporaryFolder& folder,
                                           const std::map<std::string, ordered_json>& files) {
  std::filesystem::copy_file(testing::LlamaFolder() / "config.json", folder / "config.json");
  for (const auto& [name, content] : files) {
    WriteBytes(folder / name, content.is_string() ? content.get<std::string>() : content.dump());
  }
  return ModelFiles::Open(folder.path()).value();
}

std::string Render(const ModelFiles& files, const ordered_json& input) {
  return files.LoadChatTemplate().value()->Render(input).value();
}

TEST(ModelChatTemplate, KnowsTheSpecialTokensOfAFolder) {
  TemporaryFolder folder;
  const auto files = OpenWith(
      folder, {{"tokenizer_config.json",
                {{"bos_token", "<s>"},
                 {"eos_token", {{"content", "</s>"}, {"lstrip", false}}},
                 {"pad_token", nullptr},
                 {"chat_template", kShow}}},
               {"special_tokens_map.json", {{"unk_token", "<unk>"}, {"bos_token", "not me"}}}});
  EXPECT_EQ(Render(*files, Conversation()), "<s>|</s>|<unk>||None|None|False|Hi");
  ordered_json input = Conversation();
  input["bos_token"] = "mine";
  input["add_generation_prompt"] = true;
  input["tools"] = ordered_json::array();
  EXPECT_EQ(Render(*files, input), "mine|</s>|<unk>||[]|None|True|Hi");
}

TEST(ModelChatTemplate, IsTheFilesOrTheDefaultOfSeveral) {
  const ordered_json several = {{{"name", "tool_use"}, {"template", "tools"}},
                                {{"name", "default"}, {"template", "default"}}};
  TemporaryFolder folder, other;
  const auto files = OpenWith(folder, {{"tokenizer_config.json", {{"chat_template", several}}}});
  EXPECT_EQ(Render(*files, Conversation()), "default");
  const auto alone = OpenWith(other, {{"tokenizer_config.json", {{"chat_template", several}}},
                                      {"chat_template.jinja", "{{ 'alone' }}\n"}});
  EXPECT_EQ(Render(*alone, Conversation()), "alone");
}

TEST(ModelChatTemplate, KnowsTheSpecialTokensOfAGgufFile) {
  TemporaryFolder folder;
  const TokenizerData data = testing::TinyTokenizer();
  GgufMetadata metadata;
  metadata.AddString("general.architecture", "llama");
  metadata.AddStrings("tokenizer.ggml.tokens", data.pieces);
  metadata.AddUint32("tokenizer.ggml.bos_token_id", 259);
  metadata.AddUint32("tokenizer.ggml.eos_token_id", 260);
  metadata.AddUint32("tokenizer.ggml.padding_token_id", 999'999);  // lies outside
  metadata.AddString("tokenizer.chat_template", kShow);
  ASSERT_TRUE((*NewGguf(folder / "m.gguf", metadata, {}))->Commit());
  const auto files = ModelFiles::Open(folder / "m.gguf").value();
  EXPECT_EQ(Render(*files, Conversation()), "<s>|<|im_end|>|||None|None|False|Hi");
}

TEST(ModelChatTemplate, SaysWhatIsWrongAndWhere) {
  TemporaryFolder folder;
  const auto files =
      OpenWith(folder, {{"chat_template.jinja", "{% if messages %}\n{{ messages[0].content"}});
  const auto made = files->LoadChatTemplate();
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, base::Code::kDataLoss);
  EXPECT_THAT(made.error().message, HasSubstr(folder.path().string()));
  EXPECT_THAT(made.error().message, HasSubstr("the chat template, line 2: "));

  TemporaryFolder none;
  EXPECT_EQ(OpenWith(none, {})->LoadChatTemplate().error().code, base::Code::kNotFound);
}

TEST(MakeChatTemplate, TakesVariablesAndADate) {
  const auto made = MakeChatTemplate("{{ strftime_now('%d %b %Y') }} {{ a }} {{ b is defined }}",
                                     {{{"a", 1}}, jinja::Date{2026, 11, 23}});
  EXPECT_EQ((*made)->Render(ordered_json::object()).value(), "23 Nov 2026 1 False");
  EXPECT_EQ((*made)->Render({{"a", 2}}).value(), "23 Nov 2026 2 False");
  const auto refusal =
      MakeChatTemplate("{{ raise_exception('No.') }}").value()->Render(ordered_json::object());
  EXPECT_EQ(refusal.error().code, base::Code::kInvalidArgument);
  EXPECT_EQ(refusal.error().message, "No.");
}

TEST(ModelChatTemplate, OfTheRealModelRendersChatMl) {
  if (!std::filesystem::exists(testing::SmolLm2())) GTEST_SKIP() << "no " << testing::SmolLm2();
  const auto files = ModelFiles::Open(testing::SmolLm2()).value();
  ordered_json input = Conversation();
  input["add_generation_prompt"] = true;
  EXPECT_EQ(Render(*files, input),
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging "
            "Face<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
}

}  // namespace
}  // namespace cloister::model
