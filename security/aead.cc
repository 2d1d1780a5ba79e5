#include "security/aead.h"

#include <openssl/err.h>

#include <algorithm>
#include <climits>

#include "base/check.h"
#include "security/openssl.h"

namespace cloister::security {
namespace {

// A message that GCM and OpenSSL's int counts both bear, with room for the tag.
constexpr std::size_t kLargestMessage = INT_MAX - kGcmTagSize;

int Size(std::span<const std::uint8_t> bytes) { return static_cast<int>(bytes.size()); }

void Append(std::vector<std::uint8_t>& encoded, std::span<const std::uint8_t> field) {
  const std::uint64_t size = field.size();
  for (int shift = 0; shift < 64; shift += 8) {
    encoded.push_back(static_cast<std::uint8_t>(size >> shift & 0xff));
  }
  encoded.insert(encoded.end(), field.begin(), field.end());
}

}  // namespace

std::vector<std::uint8_t> EncodeContext(const MessageContext& context) {
  constexpr std::string_view kLabel = "cloister message v1";
  std::vector<std::uint8_t> encoded;
  Append(encoded, ByteView(kLabel));
  Append(encoded, context.session);
  Append(encoded, ByteView(context.sender));
  Append(encoded, ByteView(context.recipient));
  Append(encoded, ByteView(context.kind));
  return encoded;
}

std::vector<std::uint8_t> GcmSeal(const SecretBytes& key, const GcmNonce& nonce,
                                  std::span<const std::uint8_t> associated,
                                  std::span<const std::uint8_t> plaintext) {
  CLOISTER_CHECK(key.size() == 32);
  CLOISTER_CHECK(plaintext.size() <= kLargestMessage && associated.size() <= kLargestMessage);
  const CipherContextOwner cipher(EVP_CIPHER_CTX_new());
  CLOISTER_CHECK(cipher != nullptr);
  CLOISTER_CHECK(EVP_EncryptInit_ex2(cipher.get(), EVP_aes_256_gcm(), key.bytes().data(),
                                     nonce.data(), nullptr) == 1);
  int written = 0;
  if (!associated.empty()) {
    CLOISTER_CHECK(EVP_EncryptUpdate(cipher.get(), nullptr, &written, associated.data(),
                                     Size(associated)) == 1);
  }
  std::vector<std::uint8_t> sealed(plaintext.size() + kGcmTagSize);
  if (!plaintext.empty()) {
    CLOISTER_CHECK(EVP_EncryptUpdate(cipher.get(), sealed.data(), &written, plaintext.data(),
                                     Size(plaintext)) == 1);
    CLOISTER_CHECK(written == Size(plaintext));
  }
  std::uint8_t* const tag = sealed.data() + plaintext.size();
  CLOISTER_CHECK(EVP_EncryptFinal_ex(cipher.get(), tag, &written) == 1 && written == 0);
  CLOISTER_CHECK(EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_GET_TAG, kGcmTagSize, tag) == 1);
  return sealed;
}

base::Result<SecretBytes> GcmOpen(const SecretBytes& key, const GcmNonce& nonce,
                                  std::span<const std::uint8_t> associated,
                                  std::span<const std::uint8_t> sealed) {
  CLOISTER_CHECK(key.size() == 32 && associated.size() <= kLargestMessage);
  const auto refused = [] {
    ERR_clear_error();
    return base::Fail(base::Code::kDataLoss,
                      "sealed message does not authenticate: it was changed, or belongs to another "
                      "key, session or recipient");
  };
  if (sealed.size() < kGcmTagSize || sealed.size() - kGcmTagSize > kLargestMessage) {
    return refused();
  }
  const std::span<const std::uint8_t> ciphertext = sealed.first(sealed.size() - kGcmTagSize);
  std::array<std::uint8_t, kGcmTagSize> tag;
  std::copy(sealed.end() - kGcmTagSize, sealed.end(), tag.begin());

  const CipherContextOwner cipher(EVP_CIPHER_CTX_new());
  CLOISTER_CHECK(cipher != nullptr);
  CLOISTER_CHECK(EVP_DecryptInit_ex2(cipher.get(), EVP_aes_256_gcm(), key.bytes().data(),
                                     nonce.data(), nullptr) == 1);
  int written = 0;
  if (!associated.empty()) {
    CLOISTER_CHECK(EVP_DecryptUpdate(cipher.get(), nullptr, &written, associated.data(),
                                     Size(associated)) == 1);
  }
  SecretBytes plaintext(ciphertext.size());
  if (!ciphertext.empty()) {
    CLOISTER_CHECK(EVP_DecryptUpdate(cipher.get(), plaintext.mutable_bytes().data(), &written,
                                     ciphertext.data(), Size(ciphertext)) == 1);
  }
  CLOISTER_CHECK(
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_SET_TAG, kGcmTagSize, tag.data()) == 1);
  std::array<std::uint8_t, kGcmTagSize> rest;
  if (EVP_DecryptFinal_ex(cipher.get(), rest.data(), &written) != 1) return refused();
  return plaintext;
}

std::vector<std::uint8_t> SealOnce(SecretBytes key, std::span<const std::uint8_t> plaintext,
                                   const MessageContext& context) {
  return GcmSeal(key, GcmNonce{}, EncodeContext(context), plaintext);
}

base::Result<SecretBytes> Open(const SecretBytes& key, std::span<const std::uint8_t> sealed,
                               const MessageContext& context) {
  auto opened = GcmOpen(key, GcmNonce{}, EncodeContext(context), sealed);
  if (!opened) {
    return base::Annotate(std::move(opened),
                          context.kind + " from " + context.sender + " to " + context.recipient);
  }
  return opened;
}

}  // namespace cloister::security
