#include "trainer/report/tensorboard.h"

#include <array>
#include <bit>
#include <cmath>

namespace cloister::trainer {
namespace {

constexpr std::array<std::uint32_t, 256> MakeTable() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < table.size(); ++byte) {
    std::uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82F63B78U : 0);
    table[byte] = value;
  }
  return table;
}
constexpr std::array<std::uint32_t, 256> kTable = MakeTable();

// A CRC of bytes that hold CRCs is weak: what is stored is rotated and shifted.
std::uint32_t Masked(std::uint32_t crc) { return std::rotr(crc, 15) + 0xA282EAD8U; }

template <typename Integer>
std::string LittleEndian(Integer value) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof value; ++i) {
    bytes.push_back(static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i)));
  }
  return bytes;
}

// The pieces of a protocol buffer (protobuf.dev/programming-guides/encoding).
enum class Wire : std::uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

std::string Varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<char>(value | 0x80));
  bytes.push_back(static_cast<char>(value));
  return bytes;
}

std::string Key(std::uint32_t field, Wire wire) {
  return Varint(field << 3 | static_cast<std::uint32_t>(wire));
}

std::string Bytes(std::uint32_t field, std::string_view value) {
  return Key(field, Wire::kBytes) + Varint(value.size()) + std::string(value);
}

std::string Double(std::uint32_t field, double value) {
  return Key(field, Wire::kFixed64) + LittleEndian(std::bit_cast<std::uint64_t>(value));
}

std::string Float(std::uint32_t field, float value) {
  return Key(field, Wire::kFixed32) + LittleEndian(std::bit_cast<std::uint32_t>(value));
}

// Event: wall_time 1, step 2, file_version 3, summary 5. Summary: value 1. Value: tag 1,
// simple_value 2.
std::string ScalarEvent(const std::string& tag, const Point& point) {
  const std::string value = Bytes(1, tag) + Float(2, static_cast<float>(point.value));
  return Double(1, static_cast<double>(point.step)) + Key(2, Wire::kVarint) +
         Varint(static_cast<std::uint64_t>(point.step)) + Bytes(5, Bytes(1, value));
}

void AddRecord(std::string& file, const std::string& event) {
  const std::string size = LittleEndian(std::uint64_t{event.size()});
  file += size + LittleEndian(Masked(Crc32c(size))) + event + LittleEndian(Masked(Crc32c(event)));
}

void AddCurve(std::string& file, const std::string& tag, std::span<const Point> points) {
  for (const Point& point : points) AddRecord(file, ScalarEvent(tag, point));
}

}  // namespace

std::uint32_t Crc32c(std::string_view bytes) {
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const char byte : bytes) {
    crc = (crc >> 8) ^ kTable[(crc ^ static_cast<unsigned char>(byte)) & 0xFF];
  }
  return ~crc;
}

std::string TensorBoardEvents(const RunHistory& history) {
  std::string file;
  AddRecord(file, Double(1, 0) + Bytes(3, "brain.Event:2"));
  AddCurve(file, "train/loss", history.loss);
  AddCurve(file, "train/learning_rate", history.learning_rate);
  AddCurve(file, "train/tokens_per_second", history.tokens_per_second);
  AddCurve(file, "eval/loss", history.held_out_loss);
  AddCurve(file, "privacy/epsilon", history.epsilon);
  AddCurve(file, "privacy/clip_norm", history.clip_norm);
  for (const RunHistory::Judged& judged : history.judged) {
    for (const auto& [name, value] : judged.figures.items()) {
      if (!value.is_number() || name.ends_with("_rows")) continue;
      AddRecord(file, ScalarEvent("evaluation/" + name, {judged.step, value.get<double>()}));
    }
  }
  return file;
}

}  // namespace cloister::trainer
