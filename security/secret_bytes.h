#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace cloister::security {

// Key material: wiped when destroyed or moved from, never printed, compared in constant time.
// Not copyable by accident: use Clone().
class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(std::size_t size) : bytes_(size) {}
  explicit SecretBytes(std::span<const std::uint8_t> bytes) : bytes_(bytes.begin(), bytes.end()) {}
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  SecretBytes(SecretBytes&& other) noexcept;
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  ~SecretBytes();

  SecretBytes Clone() const { return SecretBytes(std::span<const std::uint8_t>(bytes_)); }
  std::span<const std::uint8_t> bytes() const { return bytes_; }
  std::span<std::uint8_t> mutable_bytes() { return bytes_; }
  std::size_t size() const { return bytes_.size(); }

  // Constant time in the contents; sizes are public.
  friend bool operator==(const SecretBytes& a, const SecretBytes& b);

 private:
  std::vector<std::uint8_t> bytes_;
};

}  // namespace cloister::security
