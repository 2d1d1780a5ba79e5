#include "security/random.h"

#include <openssl/crypto.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "security/openssl.h"

namespace cloister::security {
namespace {

constexpr std::size_t kBlock = 16;
constexpr std::size_t kBuffer = 16384;
// EVP_EncryptUpdate counts in int.
constexpr std::size_t kLargestUpdate = std::size_t{1} << 30;

std::uint64_t FromLittleEndian(std::uint64_t value) {
  static_assert(std::endian::native == std::endian::little, "Cloister runs on little-endian hosts");
  return value;
}

}  // namespace

void SystemRandom(std::span<std::uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t got = ::getrandom(bytes.data(), bytes.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    CLOISTER_CHECK(got > 0);
    bytes = bytes.subspan(static_cast<std::size_t>(got));
  }
}

SecretBytes RandomSecret(std::size_t size) {
  SecretBytes secret(size);
  SystemRandom(secret.mutable_bytes());
  return secret;
}

struct AesCtrStream::State {
  CipherContextOwner cipher{EVP_CIPHER_CTX_new()};
  std::array<std::uint8_t, kBlock> counter;  // of the stream's first block
  // Key stream already made and not yet handed out: buffer[next, end).
  std::array<std::uint8_t, kBuffer> buffer;
  std::size_t next = 0;
  std::size_t end = 0;

  ~State() { OPENSSL_cleanse(buffer.data(), buffer.size()); }

  // The cipher's next bytes, straight into `bytes`.
  void Generate(std::span<std::uint8_t> bytes) {
    while (!bytes.empty()) {
      const std::span<std::uint8_t> part = bytes.first(std::min(bytes.size(), kLargestUpdate));
      std::memset(part.data(), 0, part.size());
      int written = 0;
      CLOISTER_CHECK(EVP_EncryptUpdate(cipher.get(), part.data(), &written, part.data(),
                                       static_cast<int>(part.size())) == 1);
      CLOISTER_CHECK(written == static_cast<int>(part.size()));
      bytes = bytes.subspan(part.size());
    }
  }

  void Refill() {
    Generate(buffer);
    next = 0;
    end = buffer.size();
  }
};

AesCtrStream AesCtrStream::FromSystem() { return FromKey(RandomSecret(32)); }

AesCtrStream AesCtrStream::FromKey(const SecretBytes& key) {
  return FromKeyAndCounter(key, std::array<std::uint8_t, kBlock>{});
}

AesCtrStream AesCtrStream::FromKeyAndCounter(const SecretBytes& key,
                                             std::span<const std::uint8_t, kBlock> counter) {
  CLOISTER_CHECK(key.size() == 32);
  AesCtrStream stream(new State);
  std::copy(counter.begin(), counter.end(), stream.state_->counter.begin());
  CLOISTER_CHECK(stream.state_->cipher != nullptr);
  CLOISTER_CHECK(EVP_EncryptInit_ex2(stream.state_->cipher.get(), EVP_aes_256_ctr(),
                                     key.bytes().data(), counter.data(), nullptr) == 1);
  return stream;
}

AesCtrStream::AesCtrStream(State* state) : state_(state) {}

AesCtrStream::AesCtrStream(AesCtrStream&& other) noexcept
    : state_(std::exchange(other.state_, nullptr)) {}

AesCtrStream& AesCtrStream::operator=(AesCtrStream&& other) noexcept {
  if (this != &other) delete std::exchange(state_, std::exchange(other.state_, nullptr));
  return *this;
}

AesCtrStream::~AesCtrStream() { delete state_; }

void AesCtrStream::Fill(std::span<std::uint8_t> bytes) {
  State& state = *state_;
  while (!bytes.empty()) {
    if (state.next == state.end) {
      // Whole blocks of a large request need no copy; the rest comes from the buffer.
      const std::size_t direct = bytes.size() / kBlock * kBlock;
      if (direct >= kBuffer) {
        state.Generate(bytes.first(direct));
        bytes = bytes.subspan(direct);
        continue;
      }
      state.Refill();
    }
    const std::size_t count = std::min(bytes.size(), state.end - state.next);
    std::memcpy(bytes.data(), state.buffer.data() + state.next, count);
    state.next += count;
    bytes = bytes.subspan(count);
  }
}

std::uint64_t AesCtrStream::NextU64() {
  std::uint64_t value = 0;
  if (state_->end - state_->next >= sizeof value) {
    std::memcpy(&value, state_->buffer.data() + state_->next, sizeof value);
    state_->next += sizeof value;
  } else {
    Fill({reinterpret_cast<std::uint8_t*>(&value), sizeof value});
  }
  return FromLittleEndian(value);
}

void AesCtrStream::Seek(std::uint64_t byte_offset) {
  std::array<std::uint8_t, kBlock> counter = state_->counter;
  // counter += byte_offset / kBlock mod 2^128, big-endian.
  std::uint64_t carry = byte_offset / kBlock;
  for (std::size_t i = kBlock; i-- > 0 && carry != 0;) {
    carry += counter[i];
    counter[i] = static_cast<std::uint8_t>(carry & 0xff);
    carry >>= 8;
  }
  CLOISTER_CHECK(
      EVP_EncryptInit_ex2(state_->cipher.get(), nullptr, nullptr, counter.data(), nullptr) == 1);
  state_->next = state_->end = 0;
  std::array<std::uint8_t, kBlock> skipped{};
  Fill(std::span(skipped).first(byte_offset % kBlock));
}

std::uint64_t AesCtrStream::NextBelow(std::uint64_t bound) {
  CLOISTER_CHECK(bound > 0);
  // Values under 2^64 mod bound would make small remainders likelier: draw again.
  const std::uint64_t unfair = (0 - bound) % bound;
  std::uint64_t value = NextU64();
  while (value < unfair) value = NextU64();
  return value % bound;
}

bool AesCtrStream::Bernoulli(double p) {
  if (p >= 1) return true;
  if (!(p > 0)) return false;
  // Exact: p < 1 is a multiple of 2^-1074, and the conversion truncates.
  const auto threshold = static_cast<std::uint64_t>(std::ldexp(p, 64));
  return NextU64() < threshold;
}

}  // namespace cloister::security
