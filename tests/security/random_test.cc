#include "security/random.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "security/primitives.h"
#include "tests/security/key_of_seed.h"

namespace cloister::security {
namespace {

std::vector<std::uint8_t> FromHex(std::string_view text) { return *ParseHex(text); }

// NIST SP 800-38A, F.5.5 CTR-AES256.Encrypt.
constexpr char kNistKey[] = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4";
constexpr char kNistCounter[] = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";
constexpr char kNistPlaintext[] =
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710";
constexpr char kNistCiphertext[] =
    "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
    "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6";

AesCtrStream NistStream() {
  const std::vector<std::uint8_t> counter = FromHex(kNistCounter);
  return AesCtrStream::FromKeyAndCounter(SecretBytes(FromHex(kNistKey)),
                                         std::span<const std::uint8_t, 16>(counter));
}

TEST(AesCtrStream, IsTheKeyStreamOfSp80038a) {
  AesCtrStream stream = NistStream();
  std::vector<std::uint8_t> bytes(64);
  stream.Fill(bytes);
  const std::vector<std::uint8_t> plaintext = FromHex(kNistPlaintext);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] ^= plaintext[i];
  EXPECT_EQ(Hex(bytes), kNistCiphertext);

  // The counter's last byte wraps within these four blocks; seeking must carry as counting does.
  stream.Seek(48);
  std::vector<std::uint8_t> last(16);
  stream.Fill(last);
  for (std::size_t i = 0; i < last.size(); ++i) last[i] ^= plaintext[48 + i];
  EXPECT_EQ(Hex(last), std::string(kNistCiphertext).substr(96));
}

TEST(AesCtrStream, StartsAtCounterZeroForAKey) {
  AesCtrStream stream = AesCtrStream::FromKey(SecretBytes(32));
  std::vector<std::uint8_t> block(16);
  stream.Fill(block);
  EXPECT_EQ(Hex(block), "dc95c078a2408989ad48a21492842087");  // AES-256 of zero under zero
}

TEST(AesCtrStream, GivesTheSameBytesHoweverTheyAreAsked) {
  const SecretBytes key = KeyOfSeed(7);
  std::vector<std::uint8_t> whole(100'003);
  AesCtrStream::FromKey(key).Fill(whole);

  AesCtrStream pieces = AesCtrStream::FromKey(key);
  std::vector<std::uint8_t> joined;
  for (const std::size_t size : {1u, 15u, 16u, 17u, 4096u, 16384u, 40'000u, 8u, 16383u, 23'083u}) {
    std::vector<std::uint8_t> piece(size);
    pieces.Fill(piece);
    joined.insert(joined.end(), piece.begin(), piece.end());
  }
  ASSERT_EQ(joined.size(), whole.size());
  EXPECT_EQ(joined, whole);

  AesCtrStream seeking = AesCtrStream::FromKey(key);
  for (const std::uint64_t offset : {0u, 5u, 16u, 16383u, 16384u, 77'777u, 3u}) {
    seeking.Seek(offset);
    std::vector<std::uint8_t> piece(33);
    seeking.Fill(piece);
    EXPECT_TRUE(std::equal(piece.begin(), piece.end(), whole.begin() + offset)) << offset;
  }

  seeking.Seek(11);
  std::uint64_t expected = 0;
  for (int i = 7; i >= 0; --i) expected = expected << 8 | whole[11 + i];
  EXPECT_EQ(seeking.NextU64(), expected);
}

TEST(AesCtrStream, SeeksBeyondFourGigablocks) {
  AesCtrStream stream = AesCtrStream::FromKey(SecretBytes(32));
  const std::uint64_t block = (std::uint64_t{1} << 40) + 9;
  stream.Seek(block * 16);
  std::vector<std::uint8_t> bytes(16);
  stream.Fill(bytes);

  std::vector<std::uint8_t> counter(16);
  for (int i = 0; i < 8; ++i) counter[15 - i] = static_cast<std::uint8_t>(block >> (8 * i));
  const std::vector<std::uint8_t> key(32);
  std::vector<std::uint8_t> expected(16);
  int written = 0;
  EVP_CIPHER_CTX* const cipher = EVP_CIPHER_CTX_new();
  ASSERT_EQ(EVP_EncryptInit_ex2(cipher, EVP_aes_256_ecb(), key.data(), nullptr, nullptr), 1);
  ASSERT_EQ(EVP_EncryptUpdate(cipher, expected.data(), &written, counter.data(), 16), 1);
  EVP_CIPHER_CTX_free(cipher);
  EXPECT_EQ(bytes, expected);
}

TEST(AesCtrStream, SystemStreamsDiffer) {
  AesCtrStream a = AesCtrStream::FromSystem();
  AesCtrStream b = AesCtrStream::FromSystem();
  EXPECT_NE(a.NextU64(), b.NextU64());
  EXPECT_FALSE(RandomSecret(32) == RandomSecret(32));
}

// Rates as multiples of 2^-64 rounded down, checked against the very words that decide.
TEST(Bernoulli, IsTrueExactlyUnderTheRoundedDownThreshold) {
  const SecretBytes key = KeyOfSeed(0);
  for (const double p :
       {0x1p-64, 0x1.8p-64, 1e-9, 0.01, 0.3, 0.5, 0.999999999999, 0x1.fffffffffffffp-1}) {
    AesCtrStream draws = AesCtrStream::FromKey(key);
    AesCtrStream words = AesCtrStream::FromKey(key);
    const long double scaled = std::floor(std::ldexp(static_cast<long double>(p), 64));
    for (int i = 0; i < 2000; ++i) {
      const bool expected = static_cast<long double>(words.NextU64()) < scaled;
      ASSERT_EQ(draws.Bernoulli(p), expected) << p << " " << i;
    }
  }
}

TEST(Bernoulli, NeverHappensAtZeroAndAlwaysAtOne) {
  AesCtrStream stream = AesCtrStream::FromKey(KeyOfSeed(1));
  for (int i = 0; i < 1000; ++i) {
    EXPECT_FALSE(stream.Bernoulli(0));
    EXPECT_FALSE(stream.Bernoulli(-1));
    EXPECT_FALSE(stream.Bernoulli(std::nan("")));
    EXPECT_FALSE(stream.Bernoulli(0x1p-65));  // under the finest rate: rounded down
    EXPECT_TRUE(stream.Bernoulli(1));
  }
}

TEST(NextBelow, IsUniform) {
  AesCtrStream stream = AesCtrStream::FromKey(KeyOfSeed(1));
  constexpr int kDraws = 60'000;
  std::vector<int> counts(6);
  for (int i = 0; i < kDraws; ++i) ++counts.at(stream.NextBelow(counts.size()));
  double chi_squared = 0;
  for (const int count : counts) chi_squared += std::pow(count - kDraws / 6.0, 2) / (kDraws / 6.0);
  EXPECT_LT(chi_squared, 25.7);  // 1e-4 of chi squared with 5 degrees of freedom

  // A bound over 2^63: without rejection the lower half would come twice as often.
  const std::uint64_t bound = (std::uint64_t{3} << 62);
  int low = 0;
  for (int i = 0; i < kDraws; ++i) {
    const std::uint64_t value = stream.NextBelow(bound);
    ASSERT_LT(value, bound);
    low += value < (std::uint64_t{1} << 62) ? 1 : 0;
  }
  EXPECT_NEAR(low, kDraws / 3.0, 5 * std::sqrt(kDraws * 2 / 9.0));
}

}  // namespace
}  // namespace cloister::security
