#include "security/keyed_hash.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "base/check.h"
#include "security/openssl.h"

namespace cloister::security {

void HmacSha256Key::Free::operator()(evp_mac_ctx_st* context) const { EVP_MAC_CTX_free(context); }

HmacSha256Key::HmacSha256Key(std::span<const std::uint8_t> key) {
  const std::unique_ptr<EVP_MAC, Deleter<EVP_MAC_free>> mac(
      EVP_MAC_fetch(nullptr, "HMAC", nullptr));
  CLOISTER_CHECK(mac != nullptr);
  context_.reset(EVP_MAC_CTX_new(mac.get()));
  CLOISTER_CHECK(context_ != nullptr);
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end()};
  // A null key would leave the context without one.
  const std::uint8_t none = 0;
  CLOISTER_CHECK(
      EVP_MAC_init(context_.get(), key.empty() ? &none : key.data(), key.size(), parameters) == 1);
}

Sha256Digest HmacSha256Key::Hash(std::span<const std::span<const std::uint8_t>> parts) {
  // No key: begin again under the one that is set.
  CLOISTER_CHECK(EVP_MAC_init(context_.get(), nullptr, 0, nullptr) == 1);
  for (const std::span<const std::uint8_t> part : parts) {
    CLOISTER_CHECK(EVP_MAC_update(context_.get(), part.data(), part.size()) == 1);
  }
  Sha256Digest digest{};
  std::size_t size = 0;
  CLOISTER_CHECK(EVP_MAC_final(context_.get(), digest.data(), &size, digest.size()) == 1);
  CLOISTER_CHECK(size == digest.size());
  return digest;
}

Sha256Digest HmacSha256Key::Hash(std::span<const std::uint8_t> message) {
  return Hash(std::span(&message, 1));
}

}  // namespace cloister::security
