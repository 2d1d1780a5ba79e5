#include "security/openssl.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <climits>

#include "base/check.h"

namespace cloister::security {
namespace {

// Instead of OpenSSL's default, which asks on the terminal.
int NoPassphrase(char*, int, int, void*) { return -1; }

}  // namespace

BioOwner BioOver(std::string_view text) {
  CLOISTER_CHECK(text.size() <= INT_MAX);
  BioOwner bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  CLOISTER_CHECK(bio != nullptr);
  return bio;
}

std::string BioText(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  CLOISTER_CHECK(size >= 0);
  return std::string(data, static_cast<std::size_t>(size));
}

SecretBytes PrivateKeyToPem(EVP_PKEY* key) {
  BioOwner bio(BIO_new(BIO_s_secmem()));
  CLOISTER_CHECK(bio != nullptr);
  CLOISTER_CHECK(
      PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  CLOISTER_CHECK(size > 0);
  return SecretBytes(ByteView(std::string_view(data, static_cast<std::size_t>(size))));
}

KeyOwner PrivateKeyFromPem(const SecretBytes& pem) {
  if (pem.size() == 0 || pem.size() > INT_MAX) return nullptr;
  BioOwner bio = BioOver(TextView(pem));
  KeyOwner key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
  if (key == nullptr) ERR_clear_error();
  return key;
}

void Wipe(std::string& text) { OPENSSL_cleanse(text.data(), text.size()); }

}  // namespace cloister::security
