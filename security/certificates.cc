#include "security/certificates.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "base/check.h"
#include "security/certificate_parsing.h"
#include "security/openssl.h"
#include "security/random.h"

namespace cloister::security {
namespace {

constexpr int kMostDays = 3650;
// Certificates are valid from this long before they are made, for peers whose clocks are behind.
constexpr std::time_t kClockSkew = 3600;
constexpr std::time_t kDay = 86400;

using NameOwner = std::unique_ptr<GENERAL_NAME, Deleter<GENERAL_NAME_free>>;
using NamesOwner = std::unique_ptr<GENERAL_NAMES, Deleter<GENERAL_NAMES_free>>;

bool IsLabel(std::string_view label) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  };
  return !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
         std::all_of(label.begin(), label.end(), allowed);
}

bool IsHostName(std::string_view host) {
  if (host.size() > 253) return false;
  for (;;) {
    const std::size_t dot = host.find('.');
    if (!IsLabel(host.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    host.remove_prefix(dot + 1);
  }
}

base::Status ValidateDays(int valid_days) {
  if (valid_days >= 1 && valid_days <= kMostDays) return {};
  return base::Fail(base::Code::kInvalidArgument,
                    "certificate validity of " + std::to_string(valid_days) + " days: give 1 to " +
                        std::to_string(kMostDays));
}

void AddText(NamesOwner& names, int type, std::string_view text) {
  NameOwner name(GENERAL_NAME_new());
  ASN1_IA5STRING* const value = ASN1_IA5STRING_new();
  CLOISTER_CHECK(name != nullptr && value != nullptr);
  CLOISTER_CHECK(ASN1_STRING_set(value, text.data(), static_cast<int>(text.size())) == 1);
  GENERAL_NAME_set0_value(name.get(), type, value);
  CLOISTER_CHECK(sk_GENERAL_NAME_push(names.get(), name.release()) > 0);
}

base::Status AddAddress(NamesOwner& names, const std::string& address) {
  // A name of digits and dots alone is never a DNS name: it must be an IP address.
  ASN1_OCTET_STRING* const ip = a2i_IPADDRESS(address.c_str());
  if (ip != nullptr) {
    NameOwner name(GENERAL_NAME_new());
    CLOISTER_CHECK(name != nullptr);
    GENERAL_NAME_set0_value(name.get(), GEN_IPADD, ip);
    CLOISTER_CHECK(sk_GENERAL_NAME_push(names.get(), name.release()) > 0);
    return {};
  }
  ERR_clear_error();
  const bool numeric = address.find_first_not_of("0123456789.") == std::string::npos;
  if (numeric || !IsHostName(address)) {
    return base::Fail(base::Code::kInvalidArgument,
                      "'" + address.substr(0, 80) +
                          "' is no IP address or lower-case host name, certificate address: give "
                          "for example localhost or 127.0.0.1");
  }
  AddText(names, GEN_DNS, address);
  return {};
}

KeyOwner NewKey() {
  KeyOwner key(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
  CLOISTER_CHECK(key != nullptr);
  return key;
}

// A certificate with all that the two kinds have in common.
CertificateOwner NewCertificate(const std::string& name, EVP_PKEY* key, int valid_days) {
  CertificateOwner certificate(X509_new());
  CLOISTER_CHECK(certificate != nullptr && X509_set_version(certificate.get(), X509_VERSION_3));
  // 127 random bits: positive, unique, unpredictable (CA/Browser baseline 7.1).
  std::array<std::uint8_t, 16> serial{};
  SystemRandom(serial);
  serial[0] = static_cast<std::uint8_t>((serial[0] & 0x7f) | 0x40);
  const BignumOwner number(BN_bin2bn(serial.data(), serial.size(), nullptr));
  CLOISTER_CHECK(number != nullptr &&
                 BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate.get())));
  const std::time_t now = std::time(nullptr);
  CLOISTER_CHECK(ASN1_TIME_set(X509_getm_notBefore(certificate.get()), now - kClockSkew));
  CLOISTER_CHECK(ASN1_TIME_set(X509_getm_notAfter(certificate.get()), now + valid_days * kDay));
  X509_NAME* const subject = X509_get_subject_name(certificate.get());
  CLOISTER_CHECK(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                            reinterpret_cast<const std::uint8_t*>(name.data()),
                                            static_cast<int>(name.size()), -1, 0) == 1);
  CLOISTER_CHECK(X509_set_pubkey(certificate.get(), key) == 1);
  return certificate;
}

void AddExtension(X509* certificate, X509* issuer, int kind, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value);
  CLOISTER_CHECK(extension != nullptr);
  const int added = X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
  CLOISTER_CHECK(added == 1);
}

CertificateAndKey Finish(X509* certificate, EVP_PKEY* key, EVP_PKEY* issuer_key) {
  CLOISTER_CHECK(X509_sign(certificate, issuer_key, EVP_sha256()) > 0);
  const BioOwner bio(BIO_new(BIO_s_mem()));
  CLOISTER_CHECK(bio != nullptr && PEM_write_bio_X509(bio.get(), certificate) == 1);
  return {BioText(bio.get()), PrivateKeyToPem(key)};
}

}  // namespace

base::Status ValidatePartyName(std::string_view name) {
  if (IsLabel(name)) return {};
  return base::Fail(base::Code::kInvalidArgument,
                    "'" + std::string(name.substr(0, 80)) +
                        "' is no party name: use 1 to 63 of a-z, 0-9 and '-', no '-' at an end");
}

base::Result<CertificateAndKey> CreateAuthority(const std::string& name, int valid_days) {
  CLOISTER_RETURN_IF_ERROR(ValidatePartyName(name));
  CLOISTER_RETURN_IF_ERROR(ValidateDays(valid_days));
  const KeyOwner key = NewKey();
  const CertificateOwner certificate = NewCertificate(name, key.get(), valid_days);
  X509* const self = certificate.get();
  CLOISTER_CHECK(X509_set_issuer_name(self, X509_get_subject_name(self)) == 1);
  AddExtension(self, self, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  AddExtension(self, self, NID_key_usage, "critical,keyCertSign,cRLSign");
  AddExtension(self, self, NID_subject_key_identifier, "hash");
  return Finish(self, key.get(), key.get());
}

base::Result<CertificateAndKey> IssueCertificate(const CertificateAndKey& authority,
                                                 const LeafRequest& request) {
  CLOISTER_RETURN_IF_ERROR(ValidatePartyName(request.name));
  CLOISTER_RETURN_IF_ERROR(ValidateDays(request.valid_days));
  NamesOwner names(GENERAL_NAMES_new());
  CLOISTER_CHECK(names != nullptr);
  AddText(names, GEN_DNS, request.name);
  for (const std::string& address : request.addresses) {
    CLOISTER_RETURN_IF_ERROR(AddAddress(names, address));
  }
  CLOISTER_RETURN_IF_ERROR(CheckBelongsTogether(authority));
  CLOISTER_ASSIGN_OR_RETURN(const CertificateInfo issuer_info,
                            InspectCertificate(authority.certificate_pem));
  if (!issuer_info.is_authority) {
    return base::Fail(base::Code::kDataLoss,
                      "certificate of '" + issuer_info.name +
                          "' is no authority's, issuing: give the federation's CA certificate");
  }
  const CertificateOwner issuer = ParseCertificate(authority.certificate_pem);
  const KeyOwner issuer_key = PrivateKeyFromPem(authority.private_key_pem);
  const KeyOwner key = NewKey();
  const CertificateOwner certificate = NewCertificate(request.name, key.get(), request.valid_days);
  X509* const leaf = certificate.get();
  if (ASN1_TIME_compare(X509_get0_notAfter(leaf), X509_get0_notAfter(issuer.get())) > 0) {
    CLOISTER_CHECK(X509_set1_notAfter(leaf, X509_get0_notAfter(issuer.get())) == 1);
  }
  CLOISTER_CHECK(X509_set_issuer_name(leaf, X509_get_subject_name(issuer.get())) == 1);
  AddExtension(leaf, issuer.get(), NID_basic_constraints, "critical,CA:FALSE");
  AddExtension(leaf, issuer.get(), NID_key_usage, "critical,digitalSignature");
  AddExtension(leaf, issuer.get(), NID_ext_key_usage,
               request.role == CertificateRole::kServer ? "serverAuth" : "clientAuth");
  AddExtension(leaf, issuer.get(), NID_subject_key_identifier, "hash");
  AddExtension(leaf, issuer.get(), NID_authority_key_identifier, "keyid:always");
  CLOISTER_CHECK(X509_add1_ext_i2d(leaf, NID_subject_alt_name, names.get(), 0, 0) == 1);
  return Finish(leaf, key.get(), issuer_key.get());
}

}  // namespace cloister::security
