#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "base/check.h"
#include "security/openssl.h"
#include "security/primitives.h"

namespace cloister::security {
namespace {

EVP_MD_CTX* AsDigest(void* context) { return static_cast<EVP_MD_CTX*>(context); }

constexpr std::size_t kHkdfMost = 255 * 32;  // RFC 5869, section 2.3

}  // namespace

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  CLOISTER_CHECK(context_ != nullptr);
  CLOISTER_CHECK(EVP_DigestInit_ex2(AsDigest(context_), EVP_sha256(), nullptr) == 1);
}

Sha256::~Sha256() { EVP_MD_CTX_free(AsDigest(context_)); }

Sha256& Sha256::Update(std::span<const std::uint8_t> bytes) {
  CLOISTER_CHECK(EVP_DigestUpdate(AsDigest(context_), bytes.data(), bytes.size()) == 1);
  return *this;
}

Sha256& Sha256::Update(std::string_view text) { return Update(ByteView(text)); }

Sha256Digest Sha256::Finish() {
  Sha256Digest digest{};
  unsigned size = 0;
  CLOISTER_CHECK(EVP_DigestFinal_ex(AsDigest(context_), digest.data(), &size) == 1);
  CLOISTER_CHECK(size == digest.size());
  return digest;
}

Sha256Digest HashBytes(std::span<const std::uint8_t> bytes) {
  Sha256 hash;
  return hash.Update(bytes).Finish();
}

base::Result<Sha256Digest> HashFile(const std::string& path) {
  const auto close = [](std::FILE* file) { std::fclose(file); };
  const std::unique_ptr<std::FILE, decltype(close)> file(std::fopen(path.c_str(), "rbe"), close);
  if (file == nullptr) {
    const base::Code code = errno == ENOENT ? base::Code::kNotFound : base::Code::kDataLoss;
    return base::Fail(code, std::string("cannot open file (") + std::strerror(errno) + "), " +
                                path + ": check the path and its permissions");
  }
  Sha256 hash;
  std::vector<std::uint8_t> buffer(std::size_t{1} << 18);
  for (;;) {
    const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), file.get());
    hash.Update(std::span(buffer).first(got));
    if (got == buffer.size()) continue;
    if (std::ferror(file.get()) != 0) {
      return base::Fail(base::Code::kDataLoss, std::string("cannot read file (") +
                                                   std::strerror(errno) + "), " + path +
                                                   ": it must be a regular file on a healthy disk");
    }
    return hash.Finish();
  }
}

std::string Hex(std::span<const std::uint8_t> bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::uint8_t byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

base::Result<std::vector<std::uint8_t>> ParseHex(std::string_view text) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  if (text.size() % 2 != 0) {
    return base::Fail(base::Code::kInvalidArgument,
                      "hexadecimal text has an odd length: give two digits a byte");
  }
  std::vector<std::uint8_t> bytes(text.size() / 2);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const int high = digit(text[2 * i]);
    const int low = digit(text[2 * i + 1]);
    if (high < 0 || low < 0) {
      return base::Fail(base::Code::kInvalidArgument,
                        "hexadecimal text has a character outside "
                        "0-9 and a-f at " +
                            std::to_string(2 * i) + ": give two digits a byte");
    }
    bytes[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  return bytes;
}

Sha256Digest HmacSha256(std::span<const std::uint8_t> key, std::span<const std::uint8_t> message) {
  Sha256Digest digest{};
  std::size_t size = 0;
  // A null key would mean "the key of the last call".
  const std::uint8_t none = 0;
  CLOISTER_CHECK(EVP_Q_mac(nullptr, "HMAC", nullptr, "SHA256", nullptr,
                           key.empty() ? &none : key.data(), key.size(), message.data(),
                           message.size(), digest.data(), digest.size(), &size) != nullptr);
  CLOISTER_CHECK(size == digest.size());
  return digest;
}

SecretBytes Hkdf(const SecretBytes& secret, std::span<const std::uint8_t> salt,
                 std::span<const std::uint8_t> info, std::size_t size) {
  CLOISTER_CHECK(size > 0 && size <= kHkdfMost);
  const std::unique_ptr<EVP_KDF, Deleter<EVP_KDF_free>> kdf(
      EVP_KDF_fetch(nullptr, "HKDF", nullptr));
  CLOISTER_CHECK(kdf != nullptr);
  const std::unique_ptr<EVP_KDF_CTX, Deleter<EVP_KDF_CTX_free>> context(EVP_KDF_CTX_new(kdf.get()));
  CLOISTER_CHECK(context != nullptr);
  char digest[] = "SHA256";
  const auto octets = [](const char* name, std::span<const std::uint8_t> bytes) {
    return OSSL_PARAM_construct_octet_string(name, const_cast<std::uint8_t*>(bytes.data()),
                                             bytes.size());
  };
  std::vector<OSSL_PARAM> parameters = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
      octets(OSSL_KDF_PARAM_KEY, secret.bytes())};
  // An absent salt is RFC 5869's string of zeros, which HMAC pads an empty one to.
  if (!salt.empty()) parameters.push_back(octets(OSSL_KDF_PARAM_SALT, salt));
  if (!info.empty()) parameters.push_back(octets(OSSL_KDF_PARAM_INFO, info));
  parameters.push_back(OSSL_PARAM_construct_end());
  SecretBytes output(size);
  CLOISTER_CHECK(
      EVP_KDF_derive(context.get(), output.mutable_bytes().data(), size, parameters.data()) == 1);
  return output;
}

}  // namespace cloister::security
