#pragma once

// Inside security/ only.

#include <string_view>

#include "base/result.h"
#include "security/certificates.h"
#include "security/openssl.h"

namespace cloister::security {

// Null when `pem` is no certificate.
CertificateOwner ParseCertificate(std::string_view pem);

// kDataLoss when either half is unreadable or the key is another certificate's.
base::Status CheckBelongsTogether(const CertificateAndKey& pair);

}  // namespace cloister::security
