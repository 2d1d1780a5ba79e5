// Checkpoints that are written while the run goes on.
#include "trainer/checkpoint/background_writer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>
#include <vector>

#include "tests/base/own_path.h"

namespace cloister::trainer {
namespace {

namespace fs = std::filesystem;
using Written = BackgroundWriter::Written;

class BackgroundWriterTest : public InOwnFolder {
 protected:
  CheckpointToWrite Of(std::int64_t step) const {
    CheckpointToWrite checkpoint;
    checkpoint.header.step = step;
    checkpoint.header.events = "{}\n";
    checkpoint.copied["values"] = std::as_bytes(std::span(values_));
    checkpoint.kept["noise"] = {1, 2, 3};
    return checkpoint;
  }
  static std::vector<float> ValuesOf(const CheckpointFile& file) {
    const auto bytes = file.Array("values");
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }

  std::vector<float> values_ = std::vector<float>(1 << 20, 1.0F);
};

TEST_F(BackgroundWriterTest, WritesWhatWasThereWhenItBegan) {
  auto folder = CheckpointFolder::Create(folder_ / "c", 3);
  ASSERT_TRUE(folder);
  BackgroundWriter writer;
  EXPECT_TRUE(writer.Start(*folder, Of(1)).empty());
  EXPECT_EQ(writer.pending(), 1);
  std::fill(values_.begin(), values_.end(), 2.0F);  // while it is being written
  // A second waits for the first, and tells of it.
  const std::vector<Written> before = writer.Start(*folder, Of(2));
  ASSERT_EQ(before.size(), 1U);
  EXPECT_EQ(before[0].header.step, 1);
  EXPECT_TRUE(before[0].status);
  const auto last = writer.Collect(true);
  ASSERT_TRUE(last);
  EXPECT_EQ(last->header.step, 2);
  EXPECT_TRUE(last->status);
  EXPECT_EQ(writer.pending(), -1);
  EXPECT_FALSE(writer.Collect(true));
  EXPECT_EQ(ValuesOf(folder->At(1).value()), std::vector<float>(values_.size(), 1.0F));
  EXPECT_EQ(ValuesOf(folder->At(2).value()), values_);
  EXPECT_EQ(folder->At(2)->Array("noise").size(), 3U);
  EXPECT_EQ(folder->At(2)->header().events, "{}\n");
}

TEST_F(BackgroundWriterTest, WithoutMemoryForACopyItIsWrittenAtOnce) {
  auto folder = CheckpointFolder::Create(folder_ / "c", 3);
  ASSERT_TRUE(folder);
  BackgroundWriter writer([]() -> std::optional<std::int64_t> { return 8 << 20; });
  EXPECT_TRUE(writer.Start(*folder, Of(1)).empty());  // 4 MiB, of which twice there must be
  EXPECT_TRUE(writer.Collect(true)->status);
  values_.push_back(1);
  const std::vector<Written> done = writer.Start(*folder, Of(2));
  ASSERT_EQ(done.size(), 1U);
  EXPECT_EQ(done[0].header.step, 2);
  EXPECT_TRUE(done[0].status);
  EXPECT_EQ(writer.pending(), -1);
  EXPECT_EQ(ValuesOf(folder->At(2).value()), values_);
}

TEST_F(BackgroundWriterTest, ToldOfWhatStoodInTheWay) {
  auto folder = CheckpointFolder::Create(folder_ / "c", 3);
  ASSERT_TRUE(folder);
  fs::rename(folder_ / "c", folder_ / "gone");
  BackgroundWriter writer;
  EXPECT_TRUE(writer.Start(*folder, Of(1)).empty());
  const std::vector<Written> before = writer.Start(*folder, Of(2));
  ASSERT_EQ(before.size(), 1U);
  EXPECT_FALSE(before[0].status);
  EXPECT_FALSE(writer.Collect(true)->status);
  fs::rename(folder_ / "gone", folder_ / "c");
  EXPECT_TRUE(writer.Start(*folder, Of(3)).empty());
  EXPECT_TRUE(writer.Collect(true)->status);
}

// The end of its life is the end of the file's.
TEST_F(BackgroundWriterTest, IsWaitedForWhenItIsDestroyed) {
  auto folder = CheckpointFolder::Create(folder_ / "c", 3);
  ASSERT_TRUE(folder);
  {
    BackgroundWriter writer;
    EXPECT_TRUE(writer.Start(*folder, Of(1)).empty());
  }
  EXPECT_EQ(folder->Newest().value().header().step, 1);
}

}  // namespace
}  // namespace cloister::trainer
