// A data file of any size takes the same memory: what it is opened and read with, counted by the
// system, while the records and their index are many times as large.
#include <gtest/gtest.h>
#include <malloc.h>

#include <cstdio>
#include <fstream>

#include "base/memory.h"
#include "tests/base/own_path.h"
#include "trainer/data/permutation.h"
#include "trainer/data/record_file.h"

namespace cloister::trainer {
namespace {

constexpr std::int64_t kRecords = 400'000;
constexpr std::int64_t kMiB = 1 << 20;

class RecordMemory : public InOwnFolder {
 protected:
  void SetUp() override {
    InOwnFolder::SetUp();
    std::ofstream file(folder_ / "data.jsonl");
    for (std::int64_t i = 0; i < kRecords; ++i) {
      file << R"({"instruction": "say )" << i << R"(", "output": "it is )" << i
           << R"(", "unit": "u)" << i % 1000 << "\"}\n";
    }
  }

  // Bytes that opening the file and reading some of it took at most.
  std::int64_t Taken(const RecordFile::Options& options) const {
    ::malloc_trim(0);  // else what was freed before would be taken for nothing
    EXPECT_TRUE(base::ResetPeakMemory());
    const std::int64_t before = base::ResidentMemory().value();
    const auto records = RecordFile::Open(folder_ / "data.jsonl", options);
    EXPECT_TRUE(records);
    EXPECT_EQ(records->size(), kRecords);
    const Permutation order(kRecords, 1);
    for (std::int64_t i = 0; i < 2000; ++i) EXPECT_TRUE(records->Read(order.At(i)));
    return base::PeakMemory().value() - before;
  }
};

TEST_F(RecordMemory, IsThatOfTheBuffersAlone) {
  const RecordFile::Options options{
      .layout = {.format = DataFormat::kInstruction}, .units = true, .index_memory = 1 << 20};
  if (!base::PeakMemory() || !base::ResetPeakMemory()) GTEST_SKIP() << "the system does not say";
  const std::int64_t taken = Taken(options);
  std::printf("%.1f MiB\n", static_cast<double>(taken) / kMiB);
  // The index alone is 21 MiB, the file 25: they lie on disk.
  EXPECT_LT(taken, 18 * kMiB);
  // The broken variant: all of it in memory.
  RecordFile::Options whole = options;
  whole.index_memory = std::size_t{1} << 30;
  EXPECT_GT(Taken(whole), 21 * kMiB);
}

}  // namespace
}  // namespace cloister::trainer
