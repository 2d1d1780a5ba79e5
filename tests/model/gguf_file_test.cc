#include "model/gguf/gguf_file.h"

#include <gtest/gtest.h>

#include <cstring>

#include "model/gguf/gguf_cursor.h"
#include "model/gguf/gguf_split.h"
#include "model/gguf/gguf_writer.h"
#include "tests/base/temporary_folder.h"
#include "tests/model/test_models.h"

namespace cloister::model {
namespace {

using base::Code;
using testing::ReadBytes;
using testing::TemporaryFolder;
using testing::WriteBytes;

template <typename T>
std::string Raw(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string RawString(const std::string& text) { return Raw<std::uint64_t>(text.size()) + text; }

std::string RawArray(GgufType type, std::uint64_t count, const std::string& elements) {
  return Raw(static_cast<std::uint32_t>(type)) + Raw(count) + elements;
}

// A file without tensors.
std::string Header(std::uint32_t version, std::uint64_t values, const std::string& bytes) {
  return "GGUF" + Raw(version) + Raw<std::uint64_t>(0) + Raw(values) + bytes;
}

std::string Value(const std::string& key, GgufType type, const std::string& bytes) {
  return RawString(key) + Raw(static_cast<std::uint32_t>(type)) + bytes;
}

// Of the array `bytes` under the key "a".
base::Result<GgufValue> ReadArray(const std::string& bytes) {
  const std::string file = Header(3, 1, Value("a", GgufType::kArray, bytes));
  CLOISTER_ASSIGN_OR_RETURN(const GgufContents contents, ReadGguf(std::as_bytes(std::span(file))));
  return contents.metadata.at("a");
}

TEST(GgufValues, OfEveryTypeAreRead) {
  const std::string bytes = Header(
      2, 12,
      Value("u8", GgufType::kUint8, Raw<std::uint8_t>(200)) +
          Value("i8", GgufType::kInt8, Raw<std::int8_t>(-3)) +
          Value("u16", GgufType::kUint16, Raw<std::uint16_t>(60000)) +
          Value("i16", GgufType::kInt16, Raw<std::int16_t>(-300)) +
          Value("u32", GgufType::kUint32, Raw<std::uint32_t>(4000000000u)) +
          Value("i32", GgufType::kInt32, Raw<std::int32_t>(-70000)) +
          Value("f32", GgufType::kFloat32, Raw(0.5f)) + Value("yes", GgufType::kBool, Raw('\1')) +
          Value("text", GgufType::kString, RawString("héllo")) +
          Value("u64", GgufType::kUint64, Raw(~std::uint64_t{0})) +
          Value("i64", GgufType::kInt64, Raw(std::int64_t{-1} << 40)) +
          Value("f64", GgufType::kFloat64, Raw(0.1)));
  const auto file = GgufFile::Read(std::as_bytes(std::span(bytes)), "a.gguf");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(*file->Integer("u8"), 200);
  EXPECT_EQ(*file->Integer("i8"), -3);
  EXPECT_EQ(*file->Integer("u16"), 60000);
  EXPECT_EQ(*file->Integer("i16"), -300);
  EXPECT_EQ(*file->Integer("u32"), 4000000000);
  EXPECT_EQ(*file->Integer("i32"), -70000);
  EXPECT_EQ(*file->Number("f32"), 0.5);
  EXPECT_EQ(*file->Bool("yes"), true);
  EXPECT_EQ(*file->String("text"), "héllo");
  EXPECT_EQ(std::get<std::uint64_t>(file->metadata().at("u64")), ~std::uint64_t{0});
  EXPECT_EQ(file->Integer("u64").error().code, Code::kDataLoss);  // none of ours
  EXPECT_EQ(*file->Integer("i64"), std::int64_t{-1} << 40);
  EXPECT_EQ(*file->Number("f64"), 0.1);
}

TEST(GgufValues, ArraysOfEveryTypeAreRead) {
  const auto integers = [](GgufType type, const std::string& elements, std::uint64_t count) {
    const auto value = ReadArray(RawArray(type, count, elements));
    return value ? std::get<GgufIntegers>(*value) : GgufIntegers{-999};
  };
  EXPECT_EQ(integers(GgufType::kUint8, "\x01\xff", 2), (GgufIntegers{1, 255}));
  EXPECT_EQ(integers(GgufType::kBool, std::string("\0\1", 2), 2), (GgufIntegers{0, 1}));
  EXPECT_EQ(integers(GgufType::kInt8, "\xff", 1), GgufIntegers{-1});
  EXPECT_EQ(integers(GgufType::kUint16, Raw<std::uint16_t>(65535), 1), GgufIntegers{65535});
  EXPECT_EQ(integers(GgufType::kInt16, Raw<std::int16_t>(-5), 1), GgufIntegers{-5});
  EXPECT_EQ(integers(GgufType::kUint32, Raw<std::uint32_t>(1u << 31), 1),
            GgufIntegers{std::int64_t{1} << 31});
  EXPECT_EQ(integers(GgufType::kInt32, Raw<std::int32_t>(-7), 1), GgufIntegers{-7});
  EXPECT_EQ(integers(GgufType::kUint64, Raw<std::uint64_t>(9), 1), GgufIntegers{9});
  EXPECT_EQ(integers(GgufType::kInt64, Raw<std::int64_t>(-9), 1), GgufIntegers{-9});
  EXPECT_EQ(integers(GgufType::kInt64, "", 0), GgufIntegers{});
  const auto large = ReadArray(RawArray(GgufType::kUint64, 1, Raw(~std::uint64_t{0})));
  EXPECT_EQ(std::get<GgufUnsigned>(*large), GgufUnsigned{~std::uint64_t{0}});
  const auto floats = ReadArray(RawArray(GgufType::kFloat32, 2, Raw(1.5f) + Raw(-2.0f)));
  EXPECT_EQ(std::get<GgufFloats>(*floats), (GgufFloats{1.5, -2}));
  const auto doubles = ReadArray(RawArray(GgufType::kFloat64, 1, Raw(0.1)));
  EXPECT_EQ(std::get<GgufFloats>(*doubles), GgufFloats{0.1});
  const auto strings = ReadArray(RawArray(GgufType::kString, 2, RawString("a") + RawString("")));
  ASSERT_TRUE(strings);
  EXPECT_EQ(std::get<GgufStrings>(*strings).size(), 2u);
}

TEST(GgufValues, ArraysOfArraysAreReadUpToADepth) {
  std::string bytes = RawArray(GgufType::kInt32, 2, Raw(1) + Raw(2));
  for (int depth = 2; depth <= 8; ++depth) {
    bytes = RawArray(GgufType::kArray, 2, bytes + RawArray(GgufType::kUint8, 1, "x"));
    const auto value = ReadArray(bytes);
    ASSERT_EQ(value.has_value(), depth <= GgufCursor::kMaxDepth + 1) << depth;
    if (!value) {
      EXPECT_EQ(value.error().code, Code::kDataLoss);
      continue;
    }
    const auto& nested = *std::get<std::shared_ptr<const GgufNested>>(*value);
    ASSERT_EQ(nested.arrays.size(), 2u);
    EXPECT_EQ(std::get<GgufIntegers>(nested.arrays[1]), GgufIntegers{'x'});
  }
}

// A hole in a file costs its maker nothing: memory must not follow its size.
TEST(GgufValues, ElementsAreBoundedWhateverTheFilesSize) {
  TemporaryFolder folder;
  const std::uint64_t count = GgufCursor::kMaxElements + 1;
  WriteBytes(folder / "a.gguf",
             Header(3, 1, Value("a", GgufType::kArray, RawArray(GgufType::kUint8, count, ""))));
  std::filesystem::resize_file(folder / "a.gguf", std::uint64_t{1} << 32);
  const auto file = GgufFile::Open(folder / "a.gguf");
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, Code::kDataLoss);
  // Many arrays together are bounded too.
  std::string values;
  for (const char* key : {"a", "b", "c"}) {
    values += Value(key, GgufType::kArray,
                    RawArray(GgufType::kUint8, GgufCursor::kMaxElements / 2,
                             std::string(GgufCursor::kMaxElements / 2, 'x')));
  }
  const std::string bytes = Header(3, 3, values);
  EXPECT_EQ(ReadGguf(std::as_bytes(std::span(bytes))).error().code, Code::kDataLoss);
}

TEST(GgufVersions, OthersAreRefusedByName) {
  const auto message = [](std::uint32_t version) {
    const std::string bytes = Header(version, 0, "");
    const auto contents = ReadGguf(std::as_bytes(std::span(bytes)));
    EXPECT_EQ(contents.has_value(), version == 2 || version == 3) << version;
    return contents ? std::string() : contents.error().message;
  };
  EXPECT_EQ(message(2), "");
  EXPECT_EQ(message(3), "");
  EXPECT_NE(message(1).find("version 1 is not supported"), std::string::npos);
  EXPECT_NE(message(4).find("version 4"), std::string::npos);
  EXPECT_NE(message(0x03000000).find("big-endian"), std::string::npos);
}

TEST(GgufAlignment, IsFollowedAndChecked) {
  const auto made = [](std::uint32_t alignment, std::uint64_t offset) {
    std::string bytes =
        "GGUF" + Raw<std::uint32_t>(3) + Raw<std::uint64_t>(1) + Raw<std::uint64_t>(1) +
        Value("general.alignment", GgufType::kUint32, Raw(alignment)) + RawString("t") +
        Raw<std::uint32_t>(1) + Raw<std::uint64_t>(1) + Raw<std::uint32_t>(0) + Raw(offset);
    bytes.resize((bytes.size() + 127) / 128 * 128);
    return bytes + std::string(static_cast<std::size_t>(offset), '\0') + Raw(2.5f);
  };
  const std::string good = made(128, 128);
  const auto contents = ReadGguf(std::as_bytes(std::span(good)));
  ASSERT_TRUE(contents) << contents.error().message;
  EXPECT_EQ(ToFloat(contents->entries[0].view), std::vector<float>{2.5f});
  for (const auto& [alignment, offset] :
       std::vector<std::pair<std::uint32_t, std::uint64_t>>{{128, 64}, {0, 0}, {4, 0}, {48, 0}}) {
    const std::string bytes = made(alignment, offset);
    EXPECT_EQ(ReadGguf(std::as_bytes(std::span(bytes))).error().code, Code::kDataLoss) << alignment;
  }
}

// ---- models in several files ----

const std::vector<TensorSpec> kSpecs = {{"a", DataType::kF32, {4, 32}},
                                        {"b", DataType::kQ8_0, {2, 64}},
                                        {"c", DataType::kF16, {3, 5}},
                                        {"d", DataType::kF32, {300}}};

std::vector<std::byte> Filled(std::size_t size, int start) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>((start + i) % 60);
  return bytes;
}

void WriteSplit(const std::filesystem::path& path, std::uint64_t max_bytes) {
  GgufMetadata metadata;
  metadata.AddString("general.name", "a model in parts");
  auto sink = NewGguf(path, metadata, kSpecs, max_bytes);
  ASSERT_TRUE(sink) << sink.error().message;
  int start = 1;
  for (const TensorSpec& spec : kSpecs) {
    const std::vector<std::byte> bytes = Filled(spec.bytes(), start++);
    ASSERT_TRUE((*sink)->Write(std::span(bytes).first(6)));  // in pieces
    ASSERT_TRUE((*sink)->Write(std::span(bytes).subspan(6)));
  }
  ASSERT_TRUE((*sink)->Commit());
}

TEST(SplitGguf, AnyFileOpensTheWholeModel) {
  TemporaryFolder folder;
  WriteSplit(folder / "m.gguf", 600);  // a | b c | d, which is larger
  EXPECT_EQ(folder.entries(), 3);
  for (const char* name :
       {"m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"}) {
    const auto file = GgufFile::Open(folder / name);
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(file->path(), folder / name);
    EXPECT_EQ(*file->String("general.name"), "a model in parts");
    ASSERT_EQ(file->entries().size(), kSpecs.size());
    for (std::size_t i = 0; i < kSpecs.size(); ++i) {
      const GgufEntry& entry = file->entries()[i];
      EXPECT_EQ(entry.name, kSpecs[i].name);
      EXPECT_EQ(entry.view.shape, kSpecs[i].shape);
      const std::vector<std::byte> expected = Filled(kSpecs[i].bytes(), static_cast<int>(i) + 1);
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), entry.view.data.begin(),
                             entry.view.data.end()));
    }
  }
}

TEST(SplitGguf, WhatFitsIsOneFileOfTheNameThatWasGiven) {
  TemporaryFolder folder;
  WriteSplit(folder / "m.gguf", 1 << 20);
  EXPECT_EQ(folder.entries(), 1);
  EXPECT_FALSE(GgufFile::Open(folder / "m.gguf")->metadata().contains(kSplitCountKey));
}

TEST(SplitGguf, FilesThatAreMissingOrDoNotBelongTogetherAreNamed) {
  TemporaryFolder folder;
  WriteSplit(folder / "m.gguf", 600);
  WriteSplit(folder / "n.gguf", 1200);  // a b c | d
  const auto expect = [&](const std::string& open, Code code, const std::string& word) {
    const auto file = GgufFile::Open(folder / open);
    ASSERT_FALSE(file) << word;
    EXPECT_EQ(file.error().code, code) << file.error().message;
    EXPECT_NE(file.error().message.find(word), std::string::npos) << file.error().message;
  };
  const std::filesystem::path second = folder / "m-00002-of-00003.gguf";
  const std::string bytes = ReadBytes(second);
  std::filesystem::remove(second);
  expect("m-00001-of-00003.gguf", Code::kNotFound, "m-00002-of-00003.gguf");
  WriteBytes(second, ReadBytes(folder / "m-00003-of-00003.gguf"));
  expect("m-00001-of-00003.gguf", Code::kDataLoss, "m-00002-of-00003.gguf is another part");
  WriteBytes(second, ReadBytes(folder / "n-00002-of-00002.gguf"));
  expect("m-00001-of-00003.gguf", Code::kDataLoss, "m-00002-of-00003.gguf is another part");
  std::string twice = bytes;
  twice[twice.find(RawString("b")) + 8] = 'a';
  WriteBytes(second, twice);
  expect("m-00003-of-00003.gguf", Code::kDataLoss, "tensor a is in another file");
  WriteBytes(second, bytes.substr(0, bytes.size() - 200));
  expect("m-00001-of-00003.gguf", Code::kDataLoss, "m-00002-of-00003.gguf: tensor");
  WriteBytes(second, bytes);
  WriteBytes(folder / "renamed.gguf", bytes);
  expect("renamed.gguf", Code::kDataLoss, "one of 3 files");
  std::string first = ReadBytes(folder / "m-00001-of-00003.gguf");
  first[first.find(kSplitTensorsKey) + std::strlen(kSplitTensorsKey) + 4] = 9;
  WriteBytes(folder / "m-00001-of-00003.gguf", first);
  expect("m-00002-of-00003.gguf", Code::kDataLoss, "not 9");
}

TEST(SplitGguf, NamesAreReadAsTheyAreWritten) {
  const auto name = GgufPartName::Of("x/m-00002-of-00013.gguf");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->stem, "x/m");
  EXPECT_EQ(name->number, 2);
  EXPECT_EQ(name->count, 13);
  EXPECT_EQ(name->path(), "x/m-00002-of-00013.gguf");
  for (const char* wrong :
       {"m.gguf", "m-00003-of-00002.gguf", "m-00000-of-00002.gguf", "m-0001-of-0002.gguf",
        "m-00001-of-00002.bin", "m-0000a-of-00002.gguf", "00001-of-00002.gguf"}) {
    EXPECT_FALSE(GgufPartName::Of(wrong)) << wrong;
  }
}

TEST(SplitGguf, TooManyFilesAreRefusedBeforeAnyIsMade) {
  TemporaryFolder folder;
  const std::vector<TensorSpec> many(2000, {"t", DataType::kF32, {8}});
  const auto sink = NewGguf(folder / "m.gguf", GgufMetadata(), many, 32);
  ASSERT_FALSE(sink);
  EXPECT_EQ(sink.error().code, Code::kInvalidArgument);
  EXPECT_EQ(folder.entries(), 0);
}

}  // namespace
}  // namespace cloister::model
