// Checkpoints as files: whole or refused, the last few kept, one process at a time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "security/primitives.h"
#include "tests/base/own_path.h"
#include "trainer/checkpoint/checkpoint_file.h"
#include "trainer/checkpoint/checkpoint_folder.h"
#include "trainer/checkpoint/input_digest.h"

namespace cloister::trainer {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class CheckpointTest : public InOwnFolder {
 protected:
  static CheckpointHeader Header(std::int64_t step) {
    return {.step = step,
            .moved = true,
            .recipe = "model: x\n",
            .model_digest = "ab",
            .data_digest = "cd",
            .events = "{\"event\":\"step\"}\n",
            .evaluated = 6,
            .privacy = CheckpointHeader::Private{"run-1", 0.5}};
  }
  CheckpointArrays Arrays() const {
    return {{"parameters", std::as_bytes(std::span(values_))},
            {"noise", std::as_bytes(std::span(values_).first(1))}};
  }

  const std::vector<float> values_ = {1.5F, -2, 3e-30F};
};

TEST_F(CheckpointTest, ReadsBackWhatWasWritten) {
  const fs::path path = folder_ / "one";
  ASSERT_TRUE(WriteCheckpoint(path, Header(7), Arrays(), nullptr));
  EXPECT_EQ(fs::status(path).permissions(), fs::perms::owner_read | fs::perms::owner_write);
  const auto file = CheckpointFile::Open(path);
  ASSERT_TRUE(file) << file.error().message;
  const CheckpointHeader& header = file->header();
  EXPECT_EQ(header.step, 7);
  EXPECT_TRUE(header.moved);
  EXPECT_EQ(header.recipe, Header(7).recipe);
  EXPECT_EQ(header.model_digest, "ab");
  EXPECT_EQ(header.data_digest, "cd");
  EXPECT_EQ(header.events, Header(7).events);
  EXPECT_EQ(header.evaluated, 6);
  ASSERT_TRUE(header.privacy);
  EXPECT_EQ(header.privacy->job, "run-1");
  EXPECT_EQ(header.privacy->clip_norm, 0.5);
  const auto values = file->Array("parameters", 12);
  ASSERT_TRUE(values);
  EXPECT_EQ(std::memcmp(values->data(), values_.data(), 12), 0);
  EXPECT_EQ(file->Array("noise").size(), 4U);
  EXPECT_TRUE(file->Array("else").empty());
  const auto other = file->Array("parameters", 16);
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().message, HasSubstr("another model or recipe"));
}

TEST_F(CheckpointTest, EveryCutAndEveryAlteredByteIsRefused) {
  const fs::path path = folder_ / "one", broken = folder_ / "broken";
  ASSERT_TRUE(WriteCheckpoint(path, Header(7), Arrays(), nullptr));
  const std::string whole = base::ReadFile(path).value();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    std::ofstream(broken, std::ios::trunc) << whole.substr(0, size);
    ASSERT_FALSE(CheckpointFile::Open(broken)) << size;
  }
  for (std::size_t at = 0; at < whole.size() - 32; ++at) {  // what follows is the tag
    std::string altered = whole;
    altered[at] = static_cast<char>(altered[at] ^ 1);
    std::ofstream(broken, std::ios::trunc) << altered;
    const auto file = CheckpointFile::Open(broken);
    ASSERT_FALSE(file) << at;
    const bool version = at == 20 || at == 21;  // of "cloister checkpoint 1\n"
    ASSERT_EQ(file.error().code, version ? base::Code::kUnimplemented : base::Code::kDataLoss);
  }
  std::ofstream(broken, std::ios::trunc) << whole << "x";
  EXPECT_FALSE(CheckpointFile::Open(broken));
  EXPECT_TRUE(CheckpointFile::Open(path));
}

// Who has the key alone can say that it is of this step, job, recipe and data.
TEST_F(CheckpointTest, ATagTellsWhoseItIs) {
  const fs::path path = folder_ / "one";
  const security::SecretBytes key(32), other(std::vector<std::uint8_t>(32, 1));
  ASSERT_TRUE(WriteCheckpoint(path, Header(7), Arrays(), &key));
  EXPECT_TRUE(CheckpointFile::Open(path)->IsOf(key));
  EXPECT_FALSE(CheckpointFile::Open(path)->IsOf(other));
  const std::string whole = base::ReadFile(path).value();
  for (std::size_t at = whole.size() - 32; at < whole.size(); ++at) {
    std::string altered = whole;
    altered[at] = static_cast<char>(altered[at] ^ 1);
    std::ofstream(path, std::ios::trunc) << altered;
    ASSERT_FALSE(CheckpointFile::Open(path)->IsOf(key)) << at;
  }
  // Another step, hashed anew by somebody without the key.
  ASSERT_TRUE(WriteCheckpoint(path, Header(8), Arrays(), nullptr));
  EXPECT_FALSE(CheckpointFile::Open(path)->IsOf(key));
}

TEST_F(CheckpointTest, AHeaderNestedDeepIsRefusedUnread) {
  const std::string bomb(1 << 20, '[');
  std::string text = "cloister checkpoint 1\n";
  const std::uint64_t size = bomb.size();
  text.append(reinterpret_cast<const char*>(&size), sizeof size);
  text += bomb;
  const security::Sha256Digest digest =
      security::HashBytes({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  text.append(reinterpret_cast<const char*>(digest.data()), digest.size());
  text.append(32, '\0');
  std::ofstream(folder_ / "bomb") << text;
  const auto file = CheckpointFile::Open(folder_ / "bomb");
  ASSERT_FALSE(file);
  EXPECT_THAT(file.error().message, HasSubstr("header"));
}

TEST_F(CheckpointTest, FolderKeepsTheLastFewAndTheNoiseThatIsNeeded) {
  auto folder = CheckpointFolder::Create(folder_ / "c", 2);
  ASSERT_TRUE(folder) << folder.error().message;
  const std::vector<std::uint8_t> row = {1, 2, 3};
  for (std::int64_t step = 0; step <= 12; ++step) {
    if (step > 0) {
      ASSERT_TRUE(folder->WriteNoise(step, row, 2));
    }
    if (step % 3 == 0) {
      ASSERT_TRUE(folder->Write(Header(step), Arrays(), nullptr));
    }
  }
  EXPECT_EQ(folder->Newest().value().header().step, 12);
  const auto rows = folder->LastNoise().value();  // of 11 and 12, wherever checkpoints stand
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows.begin()->first, 11);
  EXPECT_EQ(rows.begin()->second, row);
  EXPECT_FALSE(fs::exists(folder_ / "c" / "step-000000010.noise"));
  std::int64_t checkpoints = 0;
  for (const auto& entry : fs::directory_iterator(folder_ / "c")) {
    if (entry.path().extension() == ".checkpoint") ++checkpoints;
  }
  EXPECT_EQ(checkpoints, 2);
  // Nothing tells when a step was done.
  struct stat status {};
  ASSERT_EQ(::stat((folder_ / "c" / "step-000000012.noise").c_str(), &status), 0);
  EXPECT_EQ(status.st_mtime, 0);
  // A damaged one is passed over.
  fs::resize_file(folder_ / "c" / "step-000000012.checkpoint", 100);
  EXPECT_EQ(folder->Newest().value().header().step, 9);
  // Nor does one of another name pass for a later step, and what is written next stays.
  fs::copy_file(folder_ / "c" / "step-000000009.checkpoint",
                folder_ / "c" / "step-000000099.checkpoint");
  EXPECT_EQ(folder->Newest().value().header().step, 9);
  ASSERT_TRUE(folder->Write(Header(10), Arrays(), nullptr));
  EXPECT_EQ(folder->Newest().value().header().step, 10);
  fs::remove(folder_ / "c" / "step-000000010.checkpoint");
  fs::resize_file(folder_ / "c" / "step-000000009.checkpoint", 0);
  const auto none = folder->Newest();
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, base::Code::kDataLoss);
  // Nothing that cannot be read is removed, and what another version wrote is not passed over.
  EXPECT_TRUE(fs::exists(folder_ / "c" / "step-000000012.checkpoint.damaged"));
  ASSERT_TRUE(folder->Write(Header(20), Arrays(), nullptr));
  const fs::path later = folder_ / "c" / "step-000000021.checkpoint";
  std::ofstream(later) << "cloister checkpoint 2\n";
  EXPECT_EQ(folder->Newest().error().code, base::Code::kUnimplemented);
  EXPECT_TRUE(fs::exists(later));
}

// Rows after a gap follow on nothing before it.
TEST_F(CheckpointTest, LastNoiseEndsAtAGap) {
  auto folder = CheckpointFolder::Create(folder_ / "c", 2);
  ASSERT_TRUE(folder);
  EXPECT_TRUE(folder->LastNoise().value().empty());
  for (const std::int64_t step : {3, 4, 6, 7}) {
    ASSERT_TRUE(folder->WriteNoise(step, std::vector<std::uint8_t>{1}, 9));
  }
  EXPECT_EQ(folder->LastNoise().value().begin()->first, 6);
}

TEST_F(CheckpointTest, TheBestOneStaysBesideTheLastFew) {
  auto folder = CheckpointFolder::Create(folder_ / "c", 2);
  ASSERT_TRUE(folder);
  for (std::int64_t step = 1; step <= 8; ++step) {
    CheckpointHeader header = Header(step);
    header.best = CheckpointHeader::Best{step < 6 ? 2 : 6, 0.25};
    ASSERT_TRUE(folder->Write(header, Arrays(), nullptr));
    EXPECT_EQ(folder->At(2).has_value(), step >= 2 && step < 6) << step;
  }
  EXPECT_TRUE(folder->At(6));
  EXPECT_TRUE(folder->At(7));
  EXPECT_TRUE(folder->At(8));
  EXPECT_FALSE(folder->At(5));
  EXPECT_EQ(folder->At(8)->header().best->step, 6);
  EXPECT_EQ(folder->At(8)->header().best->loss, 0.25);
}

TEST_F(CheckpointTest, AFolderBelongsToOneRunAndOneProcess) {
  {
    auto folder = CheckpointFolder::Create(folder_ / "c", 2);
    ASSERT_TRUE(folder);
    const auto second = CheckpointFolder::Create(folder_ / "c", 2);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, base::Code::kUnavailable);
    ASSERT_TRUE(folder->Write(Header(1), Arrays(), nullptr));
  }
  const auto fresh = CheckpointFolder::Create(folder_ / "c", 2);
  ASSERT_FALSE(fresh);
  EXPECT_THAT(fresh.error().message, HasSubstr("--resume"));
  EXPECT_TRUE(CheckpointFolder::Open(folder_ / "c", 2));
  for (const fs::path& absent : {folder_ / "absent", folder_}) {
    const auto none = CheckpointFolder::Open(absent, 2);
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().code, base::Code::kNotFound);
  }
}

TEST_F(CheckpointTest, AFreshRunMeetsNoRowsOfAnother) {
  const std::vector<std::uint8_t> row = {1, 2, 3};
  ASSERT_TRUE(CheckpointFolder::Create(folder_ / "c", 2)->WriteNoise(3, row, 1));
  std::ofstream(folder_ / "c" / "step-000000004.checkpoint.tmp.77") << "half";
  ASSERT_TRUE(CheckpointFolder::Create(folder_ / "c", 2));
  EXPECT_FALSE(fs::exists(folder_ / "c" / "step-000000003.noise"));
  EXPECT_FALSE(fs::exists(folder_ / "c" / "step-000000004.checkpoint.tmp.77"));
}

TEST_F(CheckpointTest, AModelsDigestIsOfWhatItComputes) {
  const fs::path model = folder_ / "model";
  fs::create_directories(model);
  std::ofstream(model / "config.json") << "{}";
  std::ofstream(model / "model.safetensors") << "weights";
  const std::string before = ModelDigest(model).value();
  std::ofstream(model / "README.md") << "words";
  EXPECT_EQ(ModelDigest(model).value(), before);
  std::ofstream(model / "tokenizer.json") << "{}";
  EXPECT_NE(ModelDigest(model).value(), before);
  EXPECT_EQ(ModelDigest(model / "config.json").value(), FileDigest(model / "config.json").value());
  EXPECT_FALSE(ModelDigest(folder_ / "absent"));
}

}  // namespace
}  // namespace cloister::trainer
