#include "security/certificate_parsing.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <climits>
#include <ctime>

#include "base/check.h"
#include "base/file.h"

namespace cloister::security {
namespace {

constexpr std::size_t kPemLimit = 64 << 10;

using StoreOwner = std::unique_ptr<X509_STORE, Deleter<X509_STORE_free>>;
using StoreContextOwner = std::unique_ptr<X509_STORE_CTX, Deleter<X509_STORE_CTX_free>>;

tl::unexpected<base::Error> NoCertificate() {
  ERR_clear_error();
  return base::Fail(base::Code::kDataLoss,
                    "no X.509 certificate in PEM: give the file that the authority issued");
}

tl::unexpected<base::Error> Refused(const std::string& reason) {
  ERR_clear_error();
  return base::Fail(
      base::Code::kUnauthenticated,
      "certificate refused (" + reason + "): have the federation's authority issue a new one");
}

// The one common name of the subject; empty where there are none or several, or where it holds
// bytes that could be read in two ways.
std::string CommonName(const X509* certificate) {
  const X509_NAME* const subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0) return {};
  const ASN1_STRING* const value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
  std::string name(reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)),
                   static_cast<std::size_t>(ASN1_STRING_length(value)));
  for (const char c : name) {
    if (c < 0x20 || c > 0x7e) return {};
  }
  return name;
}

std::chrono::system_clock::time_point TimePoint(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return {};
  return std::chrono::system_clock::from_time_t(::timegm(&parts));
}

}  // namespace

CertificateOwner ParseCertificate(std::string_view pem) {
  if (pem.empty() || pem.size() > kPemLimit) return nullptr;
  const BioOwner bio = BioOver(pem);
  CertificateOwner certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (certificate == nullptr) ERR_clear_error();
  return certificate;
}

base::Status CheckBelongsTogether(const CertificateAndKey& pair) {
  const CertificateOwner certificate = ParseCertificate(pair.certificate_pem);
  if (certificate == nullptr) return NoCertificate();
  const KeyOwner key = PrivateKeyFromPem(pair.private_key_pem);
  if (key == nullptr) {
    return base::Fail(base::Code::kDataLoss,
                      "no unencrypted private key in PEM: give the key file that was written with "
                      "the certificate");
  }
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    ERR_clear_error();
    return base::Fail(base::Code::kDataLoss,
                      "private key does not belong to the certificate: give the two files that "
                      "were written together");
  }
  return {};
}

base::Status WriteCertificateAndKey(const CertificateAndKey& pair,
                                    const std::filesystem::path& certificate_path,
                                    const std::filesystem::path& key_path) {
  CLOISTER_RETURN_IF_ERROR(
      base::WriteFile(key_path, TextView(pair.private_key_pem), base::AtomicFile::kPrivateMode));
  return base::WriteFile(certificate_path, pair.certificate_pem);
}

base::Result<CertificateAndKey> ReadCertificateAndKey(const std::filesystem::path& certificate_path,
                                                      const std::filesystem::path& key_path) {
  CLOISTER_ASSIGN_OR_RETURN(std::string certificate, ReadCertificate(certificate_path));
  CLOISTER_ASSIGN_OR_RETURN(std::string key, base::ReadFile(key_path, kPemLimit));
  CertificateAndKey pair{std::move(certificate), SecretBytes(ByteView(key))};
  Wipe(key);
  if (base::Status together = CheckBelongsTogether(pair); !together) {
    return base::Annotate(std::move(together), key_path.string());
  }
  return pair;
}

base::Result<std::string> ReadCertificate(const std::filesystem::path& path) {
  CLOISTER_ASSIGN_OR_RETURN(std::string pem, base::ReadFile(path, kPemLimit));
  if (auto info = InspectCertificate(pem); !info) {
    return base::Annotate(std::move(info), path.string());
  }
  return pem;
}

base::Result<CertificateInfo> InspectCertificate(std::string_view certificate_pem) {
  const CertificateOwner certificate = ParseCertificate(certificate_pem);
  if (certificate == nullptr) return NoCertificate();
  X509* const x509 = certificate.get();
  CertificateInfo info;
  info.name = CommonName(x509);
  if (info.name.empty()) {
    return base::Fail(base::Code::kDataLoss,
                      "certificate has no single printable common name: give the file that the "
                      "federation's authority issued");
  }
  const std::uint32_t flags = X509_get_extension_flags(x509);
  if ((flags & EXFLAG_INVALID) != 0) return NoCertificate();
  info.is_authority = (flags & EXFLAG_CA) != 0;
  if ((flags & EXFLAG_XKUSAGE) != 0) {
    const std::uint32_t usage = X509_get_extended_key_usage(x509);
    info.for_server = (usage & XKU_SSL_SERVER) != 0;
    info.for_client = (usage & XKU_SSL_CLIENT) != 0;
  }
  info.not_before = TimePoint(X509_get0_notBefore(x509));
  info.not_after = TimePoint(X509_get0_notAfter(x509));
  unsigned size = 0;
  CLOISTER_CHECK(X509_digest(x509, EVP_sha256(), info.fingerprint.data(), &size) == 1);
  CLOISTER_CHECK(size == info.fingerprint.size());
  return info;
}

base::Status VerifyCertificate(std::string_view certificate_pem, std::string_view authority_pem,
                               CertificateRole role, std::chrono::system_clock::time_point now) {
  const CertificateOwner leaf = ParseCertificate(certificate_pem);
  const CertificateOwner authority = ParseCertificate(authority_pem);
  if (leaf == nullptr || authority == nullptr) return Refused("not readable");
  auto info = InspectCertificate(certificate_pem);
  if (!info) return Refused(info.error().message);
  if (info->is_authority) return Refused("an authority's, not a party's");
  const bool fits = role == CertificateRole::kServer ? info->for_server : info->for_client;
  if (!fits) return Refused("not issued for this role");

  const StoreOwner store(X509_STORE_new());
  const StoreContextOwner context(X509_STORE_CTX_new());
  CLOISTER_CHECK(store != nullptr && context != nullptr);
  CLOISTER_CHECK(X509_STORE_add_cert(store.get(), authority.get()) == 1);
  CLOISTER_CHECK(X509_STORE_CTX_init(context.get(), store.get(), leaf.get(), nullptr) == 1);
  X509_STORE_CTX_set_flags(context.get(), X509_V_FLAG_X509_STRICT);
  X509_STORE_CTX_set_time(context.get(), 0, std::chrono::system_clock::to_time_t(now));
  CLOISTER_CHECK(X509_STORE_CTX_set_purpose(context.get(), role == CertificateRole::kServer
                                                               ? X509_PURPOSE_SSL_SERVER
                                                               : X509_PURPOSE_SSL_CLIENT) == 1);
  if (X509_verify_cert(context.get()) != 1) {
    return Refused(X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get())));
  }
  const unsigned flags = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_WILDCARDS;
  if (X509_check_host(leaf.get(), info->name.data(), info->name.size(), flags, nullptr) != 1) {
    return Refused("its name is not among its subject alternative names");
  }
  return {};
}

}  // namespace cloister::security
