#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "base/file.h"
#include "tests/base/own_path.h"
#include "trainer/data/record_file.h"

namespace cloister::trainer {

// In the one file of this process's data, whatever was there before.
inline std::filesystem::path Write(const std::string& text) {
  static const OwnFile file("data_test.jsonl");
  EXPECT_TRUE(base::WriteFile(file.path(), text));
  return file.path();
}

inline base::Result<RecordFile> Open(const std::filesystem::path& path, bool units = false) {
  return RecordFile::Open(path, {.units = units});
}

// A line of one message, whose `unit` is a JSON value.
inline std::string RecordOf(const std::string& unit, const std::string& content) {
  return R"({"unit": )" + unit + R"(, "messages": [{"role": "user", "content": ")" + content +
         "\"}]}\n";
}

}  // namespace cloister::trainer
