#include "security/certificates.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "base/file.h"

namespace cloister::security {
namespace {

namespace fs = std::filesystem;
using std::chrono::hours;

std::chrono::system_clock::time_point Now() { return std::chrono::system_clock::now(); }

class Certificates : public ::testing::Test {
 protected:
  Certificates() {
    std::string name = (fs::temp_directory_path() / "cloister-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~Certificates() override { fs::remove_all(folder_); }

  CertificateAndKey Leaf(const std::string& name, CertificateRole role, int days = 30) {
    auto leaf = IssueCertificate(authority_, {name, role, days, {"localhost", "127.0.0.1"}});
    EXPECT_TRUE(leaf) << (leaf ? "" : leaf.error().message);
    return std::move(leaf).value();
  }

  fs::path folder_;
  CertificateAndKey authority_ = std::move(CreateAuthority("federation-ca", 365)).value();
};

TEST_F(Certificates, AuthorityIsOne) {
  const auto info = InspectCertificate(authority_.certificate_pem);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->name, "federation-ca");
  EXPECT_TRUE(info->is_authority);
  EXPECT_FALSE(info->for_server || info->for_client);
  EXPECT_LT(info->not_before, Now());
  EXPECT_GT(info->not_after, Now() + hours(24 * 364));
}

TEST_F(Certificates, LeafServesItsRoleOnly) {
  const CertificateAndKey server = Leaf("coordinator", CertificateRole::kServer);
  const CertificateAndKey client = Leaf("ninds", CertificateRole::kClient);
  const auto verify = [&](const CertificateAndKey& leaf, CertificateRole role) {
    return VerifyCertificate(leaf.certificate_pem, authority_.certificate_pem, role, Now());
  };
  EXPECT_TRUE(verify(server, CertificateRole::kServer));
  EXPECT_TRUE(verify(client, CertificateRole::kClient));
  EXPECT_EQ(verify(server, CertificateRole::kClient).error().code, base::Code::kUnauthenticated);
  EXPECT_FALSE(verify(client, CertificateRole::kServer));
  EXPECT_FALSE(verify(authority_, CertificateRole::kServer));
  EXPECT_NE(InspectCertificate(server.certificate_pem)->fingerprint,
            InspectCertificate(client.certificate_pem)->fingerprint);
}

TEST_F(Certificates, AreRefusedOutOfTimeAndFromOthers) {
  const CertificateAndKey leaf = Leaf("ninds", CertificateRole::kClient, 2);
  const auto verify = [&](const std::string& authority, auto now) {
    return VerifyCertificate(leaf.certificate_pem, authority, CertificateRole::kClient, now);
  };
  EXPECT_TRUE(verify(authority_.certificate_pem, Now() + hours(47)));
  EXPECT_FALSE(verify(authority_.certificate_pem, Now() + hours(49)));
  EXPECT_FALSE(verify(authority_.certificate_pem, Now() - hours(2)));
  // Another authority of the same name signs nothing here.
  const auto impostor = CreateAuthority("federation-ca", 365);
  EXPECT_FALSE(verify(impostor->certificate_pem, Now()));
  EXPECT_FALSE(verify("", Now()));
}

TEST_F(Certificates, ATamperedOneIsRefused) {
  const CertificateAndKey leaf = Leaf("ninds", CertificateRole::kClient);
  int refused = 0;
  int changed = 0;
  for (std::size_t i = 40; i + 40 < leaf.certificate_pem.size(); i += 7) {
    std::string pem = leaf.certificate_pem;
    if (pem[i] == '\n') continue;
    pem[i] = pem[i] == 'A' ? 'B' : 'A';
    ++changed;
    refused +=
        VerifyCertificate(pem, authority_.certificate_pem, CertificateRole::kClient, Now()) ? 0 : 1;
  }
  EXPECT_GT(changed, 50);
  EXPECT_EQ(refused, changed);
}

TEST_F(Certificates, NeverOutliveTheirAuthority) {
  const auto leaf = IssueCertificate(authority_, {"late", CertificateRole::kClient, 3650, {}});
  ASSERT_TRUE(leaf);
  EXPECT_EQ(InspectCertificate(leaf->certificate_pem)->not_after,
            InspectCertificate(authority_.certificate_pem)->not_after);
}

TEST_F(Certificates, ALeafCannotIssue) {
  const CertificateAndKey leaf = Leaf("ninds", CertificateRole::kClient);
  const auto issued = IssueCertificate(leaf, {"mallory", CertificateRole::kClient, 30, {}});
  ASSERT_FALSE(issued);
  EXPECT_EQ(issued.error().code, base::Code::kDataLoss);
}

TEST_F(Certificates, NamesAndAddressesAreChecked) {
  for (const std::string& bad :
       {std::string(), std::string("Ninds"), std::string("a_b"), std::string("a.b"),
        std::string("-a"), std::string("a-"), std::string(64, 'a'), std::string("a\nb"),
        std::string("a,IP:1.2.3.4"), std::string("a\0b", 3)}) {
    EXPECT_EQ(ValidatePartyName(bad).error().code, base::Code::kInvalidArgument) << bad;
    EXPECT_FALSE(CreateAuthority(bad, 10)) << bad;
    EXPECT_FALSE(IssueCertificate(authority_, {bad, CertificateRole::kClient, 10, {}})) << bad;
  }
  EXPECT_TRUE(ValidatePartyName(std::string(63, 'a')));
  for (const char* good :
       {"localhost", "127.0.0.1", "::1", "coordinator.example.org", "10.0.0.7"}) {
    EXPECT_TRUE(IssueCertificate(authority_, {"c", CertificateRole::kServer, 10, {good}})) << good;
  }
  for (const char* bad : {"", "*", "*.example.org", "a..b", "1.2.3", "256.1.1.1", "a b", "a:1"}) {
    EXPECT_FALSE(IssueCertificate(authority_, {"c", CertificateRole::kServer, 10, {bad}})) << bad;
  }
  for (const int days : {0, -1, 3651}) {
    EXPECT_FALSE(IssueCertificate(authority_, {"c", CertificateRole::kServer, days, {}})) << days;
  }
}

TEST_F(Certificates, FilesRoundTripAndKeepKeysPrivate) {
  const CertificateAndKey leaf = Leaf("ninds", CertificateRole::kClient);
  const fs::path certificate = folder_ / "ninds.crt";
  const fs::path key = folder_ / "ninds.key";
  ASSERT_TRUE(WriteCertificateAndKey(leaf, certificate, key));
  struct stat status {};
  ASSERT_EQ(::stat(key.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  const auto read = ReadCertificateAndKey(certificate, key);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->certificate_pem, leaf.certificate_pem);
  EXPECT_TRUE(read->private_key_pem == leaf.private_key_pem);

  // The key of another certificate, and files that are neither.
  const CertificateAndKey other = Leaf("nhlbi", CertificateRole::kClient);
  ASSERT_TRUE(WriteCertificateAndKey(other, folder_ / "nhlbi.crt", folder_ / "nhlbi.key"));
  EXPECT_EQ(ReadCertificateAndKey(certificate, folder_ / "nhlbi.key").error().code,
            base::Code::kDataLoss);
  EXPECT_EQ(ReadCertificateAndKey(key, key).error().code, base::Code::kDataLoss);
  EXPECT_EQ(ReadCertificateAndKey(folder_ / "none", key).error().code, base::Code::kNotFound);
  ASSERT_TRUE(base::WriteFile(folder_ / "cut.crt", leaf.certificate_pem.substr(0, 300)));
  const auto cut = ReadCertificate(folder_ / "cut.crt");
  ASSERT_FALSE(cut);
  EXPECT_NE(cut.error().message.find("cut.crt"), std::string::npos);
}

}  // namespace
}  // namespace cloister::security
