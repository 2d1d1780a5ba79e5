#include "tests/security/wycheproof.h"

#include <algorithm>

#include "security/aead.h"

namespace cloister::security {
namespace {

TEST(Wycheproof, X25519AgreesOnEveryRowAndRefusesZeroSecrets) {
  const nlohmann::json file = ReadVectors("x25519_test.json");
  int agreed = 0;
  int refused = 0;
  for (const auto& group : file.at("testGroups")) {
    for (const auto& row : group.at("tests")) {
      X25519PublicKey peer{};
      const std::vector<std::uint8_t> given = Bytes(row, "public");
      ASSERT_EQ(given.size(), peer.size());
      std::copy(given.begin(), given.end(), peer.begin());
      const auto shared = X25519(Secret(row, "private"), peer);
      const SecretBytes expected = Secret(row, "shared");
      if (expected == SecretBytes(32)) {
        ASSERT_FALSE(shared.has_value()) << Name(row);
        EXPECT_EQ(shared.error().code, base::Code::kInvalidArgument) << Name(row);
        ++refused;
      } else {
        ASSERT_TRUE(shared.has_value()) << Name(row);
        EXPECT_TRUE(*shared == expected) << Name(row);
        ++agreed;
      }
    }
  }
  EXPECT_EQ(agreed + refused, 518);
  EXPECT_EQ(agreed + refused, file.at("numberOfTests").get<int>());
  EXPECT_EQ(refused, 31);
}

TEST(Wycheproof, HkdfAgreesOnEveryRowThatHasASizeItMayHave) {
  const nlohmann::json file = ReadVectors("hkdf_sha256_test.json");
  int run = 0;
  int too_long = 0;
  for (const auto& group : file.at("testGroups")) {
    for (const auto& row : group.at("tests")) {
      const auto size = row.at("size").get<std::size_t>();
      const SecretBytes secret = Secret(row, "ikm");
      if (row.at("result") == "invalid") {
        // The contract's own limit: asking for more is a bug of the caller.
        EXPECT_GT(size, 8160u) << Name(row);
        EXPECT_DEATH(Hkdf(secret, {}, {}, size), "kHkdfMost") << Name(row);
        ++too_long;
        continue;
      }
      const SecretBytes okm = Hkdf(secret, Bytes(row, "salt"), Bytes(row, "info"), size);
      EXPECT_TRUE(okm == Secret(row, "okm")) << Name(row);
      ++run;
    }
  }
  EXPECT_EQ(run, 83);
  EXPECT_EQ(too_long, 3);
}

TEST(Wycheproof, AesGcmAgreesOnEveryRowWithOurKeyNonceAndTagSizes) {
  const nlohmann::json file = ReadVectors("aes_gcm_test.json");
  int run = 0;
  int outside = 0;
  for (const auto& group : file.at("testGroups")) {
    for (const auto& row : group.at("tests")) {
      if (group.at("keySize") != 256 || group.at("ivSize") != 96 || group.at("tagSize") != 128) {
        ++outside;
        continue;
      }
      GcmNonce nonce{};
      const std::vector<std::uint8_t> iv = Bytes(row, "iv");
      ASSERT_EQ(iv.size(), nonce.size());
      std::copy(iv.begin(), iv.end(), nonce.begin());
      const SecretBytes key = Secret(row, "key");
      const std::vector<std::uint8_t> associated = Bytes(row, "aad");
      std::vector<std::uint8_t> sealed = Bytes(row, "ct");
      const std::vector<std::uint8_t> tag = Bytes(row, "tag");
      sealed.insert(sealed.end(), tag.begin(), tag.end());
      const auto opened = GcmOpen(key, nonce, associated, sealed);
      if (row.at("result") == "valid") {
        EXPECT_EQ(GcmSeal(key, nonce, associated, Bytes(row, "msg")), sealed) << Name(row);
        ASSERT_TRUE(opened.has_value()) << Name(row);
        EXPECT_TRUE(*opened == Secret(row, "msg")) << Name(row);
      } else {
        ASSERT_FALSE(opened.has_value()) << Name(row);
        EXPECT_EQ(opened.error().code, base::Code::kDataLoss) << Name(row);
      }
      ++run;
    }
  }
  EXPECT_EQ(run, 66);
  EXPECT_EQ(outside, 250);
}

TEST(Wycheproof, Ed25519VerifiesExactlyTheValidRows) {
  const nlohmann::json file = ReadVectors("ed25519_test.json");
  int run = 0;
  int other_size = 0;
  for (const auto& group : file.at("testGroups")) {
    Ed25519PublicKey key{};
    const std::vector<std::uint8_t> given = Bytes(group.at("publicKey"), "pk");
    ASSERT_EQ(given.size(), key.size());
    std::copy(given.begin(), given.end(), key.begin());
    for (const auto& row : group.at("tests")) {
      const std::vector<std::uint8_t> bytes = Bytes(row, "sig");
      Ed25519Signature signature{};
      if (bytes.size() != signature.size()) {
        // Not expressible: the type holds 64 bytes.
        EXPECT_EQ(row.at("result"), "invalid") << Name(row);
        ++other_size;
        continue;
      }
      std::copy(bytes.begin(), bytes.end(), signature.begin());
      EXPECT_EQ(VerifyEd25519(key, Bytes(row, "msg"), signature), row.at("result") == "valid")
          << Name(row);
      ++run;
    }
  }
  EXPECT_EQ(run, 139);
  EXPECT_EQ(other_size, 12);
}

}  // namespace
}  // namespace cloister::security
