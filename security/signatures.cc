#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/check.h"
#include "base/file.h"
#include "security/openssl.h"
#include "security/primitives.h"
#include "security/random.h"

namespace cloister::security {
namespace {

constexpr std::size_t kSeedSize = 32;
constexpr std::size_t kPemLimit = 64 << 10;

KeyOwner PrivateKey(const SecretBytes& seed) {
  CLOISTER_CHECK(seed.size() == kSeedSize);
  KeyOwner key(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.bytes().data(), seed.size()));
  CLOISTER_CHECK(key != nullptr);
  return key;
}

Ed25519PublicKey PublicOf(const EVP_PKEY* key) {
  Ed25519PublicKey public_key{};
  std::size_t size = public_key.size();
  CLOISTER_CHECK(EVP_PKEY_get_raw_public_key(key, public_key.data(), &size) == 1);
  CLOISTER_CHECK(size == public_key.size());
  return public_key;
}

tl::unexpected<base::Error> NoKey(const std::string& kind, const std::string& path) {
  ERR_clear_error();
  return base::Fail(base::Code::kDataLoss, "no Ed25519 " + kind + " key in PEM, " + path +
                                               ": make one with openssl genpkey -algorithm "
                                               "ed25519");
}

}  // namespace

Ed25519KeyPair GenerateEd25519() {
  return std::move(Ed25519FromSeed(RandomSecret(kSeedSize))).value();
}

base::Result<Ed25519KeyPair> Ed25519FromSeed(const SecretBytes& seed) {
  if (seed.size() != kSeedSize) {
    return base::Fail(base::Code::kInvalidArgument,
                      "Ed25519 seed has " + std::to_string(seed.size()) + " bytes: give 32");
  }
  const KeyOwner key = PrivateKey(seed);
  return Ed25519KeyPair{seed.Clone(), PublicOf(key.get())};
}

Ed25519Signature SignEd25519(const Ed25519KeyPair& key, std::span<const std::uint8_t> message) {
  const KeyOwner private_key = PrivateKey(key.private_key);
  const DigestContextOwner context(EVP_MD_CTX_new());
  CLOISTER_CHECK(context != nullptr);
  CLOISTER_CHECK(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, private_key.get()) ==
                 1);
  Ed25519Signature signature{};
  std::size_t size = signature.size();
  CLOISTER_CHECK(
      EVP_DigestSign(context.get(), signature.data(), &size, message.data(), message.size()) == 1);
  CLOISTER_CHECK(size == signature.size());
  return signature;
}

bool VerifyEd25519(const Ed25519PublicKey& key, std::span<const std::uint8_t> message,
                   const Ed25519Signature& signature) {
  const KeyOwner public_key(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, key.data(), key.size()));
  CLOISTER_CHECK(public_key != nullptr);
  const DigestContextOwner context(EVP_MD_CTX_new());
  CLOISTER_CHECK(context != nullptr);
  CLOISTER_CHECK(EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, public_key.get()) ==
                 1);
  const bool valid = EVP_DigestVerify(context.get(), signature.data(), signature.size(),
                                      message.data(), message.size()) == 1;
  if (!valid) ERR_clear_error();
  return valid;
}

base::Status WriteEd25519Pem(const Ed25519KeyPair& key, const std::string& private_path,
                             const std::string& public_path) {
  const KeyOwner private_key = PrivateKey(key.private_key);
  const SecretBytes private_pem = PrivateKeyToPem(private_key.get());
  const BioOwner bio(BIO_new(BIO_s_mem()));
  CLOISTER_CHECK(bio != nullptr && PEM_write_bio_PUBKEY(bio.get(), private_key.get()) == 1);
  CLOISTER_RETURN_IF_ERROR(
      base::WriteFile(private_path, TextView(private_pem), base::AtomicFile::kPrivateMode));
  return base::WriteFile(public_path, BioText(bio.get()));
}

base::Result<Ed25519KeyPair> ReadEd25519PrivatePem(const std::string& path) {
  CLOISTER_ASSIGN_OR_RETURN(std::string text, base::ReadFile(path, kPemLimit));
  const SecretBytes pem(ByteView(text));
  Wipe(text);
  const KeyOwner key = PrivateKeyFromPem(pem);
  if (key == nullptr || EVP_PKEY_get_id(key.get()) != EVP_PKEY_ED25519) {
    return NoKey("private", path);
  }
  SecretBytes seed(kSeedSize);
  std::size_t size = seed.size();
  CLOISTER_CHECK(EVP_PKEY_get_raw_private_key(key.get(), seed.mutable_bytes().data(), &size) == 1);
  CLOISTER_CHECK(size == kSeedSize);
  return Ed25519FromSeed(seed);
}

base::Result<Ed25519PublicKey> ReadEd25519PublicPem(const std::string& path) {
  CLOISTER_ASSIGN_OR_RETURN(const std::string text, base::ReadFile(path, kPemLimit));
  const BioOwner bio = BioOver(text);
  const KeyOwner key(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr));
  if (key == nullptr || EVP_PKEY_get_id(key.get()) != EVP_PKEY_ED25519) {
    return NoKey("public", path);
  }
  return PublicOf(key.get());
}

}  // namespace cloister::security
