#include "security/primitives.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "security/aead.h"
#include "tests/security/key_of_seed.h"

namespace cloister::security {
namespace {

namespace fs = std::filesystem;

std::vector<std::uint8_t> Ascii(std::string_view text) { return {text.begin(), text.end()}; }

class Folder : public ::testing::Test {
 protected:
  Folder() {
    std::string name = (fs::temp_directory_path() / "cloister-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() override { fs::remove_all(path_); }
  std::string Path(const std::string& name) const { return (path_ / name).string(); }

 private:
  fs::path path_;
};
using PemFiles = Folder;
using FileHash = Folder;

unsigned Mode(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0);
  return status.st_mode & 0777;
}

TEST(Sha256, MatchesFips180) {
  EXPECT_EQ(Hex(HashBytes({})), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Sha256 hash;
  hash.Update("a").Update("").Update("bc");
  EXPECT_EQ(Hex(hash.Finish()), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_F(FileHash, IsTheHashOfTheBytes) {
  const std::string text(1'000'000, 'a');
  ASSERT_TRUE(base::WriteFile(Path("a"), text));
  EXPECT_EQ(Hex(*HashFile(Path("a"))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  EXPECT_EQ(HashFile(Path("none")).error().code, base::Code::kNotFound);
  EXPECT_EQ(HashFile(Path("")).error().code, base::Code::kDataLoss);  // a folder
}

TEST(HexText, RoundTripsAndRefusesTheRest) {
  EXPECT_EQ(*ParseHex("00ffA9"), (std::vector<std::uint8_t>{0, 255, 0xa9}));
  EXPECT_EQ(Hex(*ParseHex("00ffa9")), "00ffa9");
  for (const char* bad : {"0", "0g", "zz", "0x12", " 12"}) {
    EXPECT_EQ(ParseHex(bad).error().code, base::Code::kInvalidArgument) << bad;
  }
}

TEST(Hmac, MatchesRfc4231) {
  EXPECT_EQ(Hex(HmacSha256(Ascii("Jefe"), Ascii("what do ya want for nothing?"))),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(Hex(HmacSha256({}, {})),
            "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

TEST(X25519, BothSidesAgree) {
  const X25519KeyPair a = GenerateX25519();
  const X25519KeyPair b = GenerateX25519();
  EXPECT_EQ(X25519PublicFromPrivate(a.private_key), a.public_key);
  EXPECT_TRUE(*X25519(a.private_key, b.public_key) == *X25519(b.private_key, a.public_key));
  EXPECT_FALSE(*X25519(a.private_key, b.public_key) == *X25519(a.private_key, a.public_key));
}

TEST(Ed25519, SignsWhatVerifies) {
  const Ed25519KeyPair key = GenerateEd25519();
  Ed25519Signature signature = SignEd25519(key, Ascii("round 3"));
  EXPECT_TRUE(VerifyEd25519(key.public_key, Ascii("round 3"), signature));
  EXPECT_FALSE(VerifyEd25519(key.public_key, Ascii("round 4"), signature));
  EXPECT_FALSE(VerifyEd25519(GenerateEd25519().public_key, Ascii("round 3"), signature));
  signature[5] ^= 1;
  EXPECT_FALSE(VerifyEd25519(key.public_key, Ascii("round 3"), signature));
  EXPECT_EQ(Ed25519FromSeed(SecretBytes(31)).error().code, base::Code::kInvalidArgument);
}

TEST(Ed25519, MatchesRfc8032) {
  const auto key = Ed25519FromSeed(
      SecretBytes(*ParseHex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")));
  EXPECT_EQ(Hex(key->public_key),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
  EXPECT_EQ(
      Hex(SignEd25519(*key, {})),
      "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701"
      "cf9b46bd25bf5f0595bbe24655141438e7a100b");
}

TEST_F(PemFiles, KeepKeysToTheOwner) {
  const Ed25519KeyPair key = GenerateEd25519();
  ASSERT_TRUE(WriteEd25519Pem(key, Path("key.pem"), Path("key.pub")));
  EXPECT_EQ(Mode(Path("key.pem")), 0600u);
  const auto read = ReadEd25519PrivatePem(Path("key.pem"));
  ASSERT_TRUE(read);
  EXPECT_TRUE(read->private_key == key.private_key);
  EXPECT_EQ(read->public_key, key.public_key);
  EXPECT_EQ(*ReadEd25519PublicPem(Path("key.pub")), key.public_key);
  EXPECT_EQ(base::ReadFile(Path("key.pem"))->substr(0, 27), "-----BEGIN PRIVATE KEY-----");
}

TEST_F(PemFiles, RefuseWhatIsNoKey) {
  EXPECT_EQ(ReadEd25519PrivatePem(Path("none")).error().code, base::Code::kNotFound);
  for (const char* text :
       {"", "hello", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}) {
    ASSERT_TRUE(base::WriteFile(Path("bad"), text));
    const auto private_key = ReadEd25519PrivatePem(Path("bad"));
    ASSERT_FALSE(private_key);
    EXPECT_EQ(private_key.error().code, base::Code::kDataLoss);
    EXPECT_NE(private_key.error().message.find(Path("bad")), std::string::npos);
    EXPECT_EQ(ReadEd25519PublicPem(Path("bad")).error().code, base::Code::kDataLoss);
  }
}

TEST(SealedMessage, OpensOnlyInItsOwnContext) {
  const SecretBytes key = KeyOfSeed(1);
  const MessageContext context{{1, 2}, "alpha", "beta", "share"};
  std::vector<std::uint8_t> sealed = SealOnce(key.Clone(), Ascii("hello"), context);
  EXPECT_EQ(sealed.size(), 5u + 16u);
  EXPECT_TRUE(*Open(key, sealed, context) == SecretBytes(Ascii("hello")));
  // Same concatenation, other fields: a struct's encoding keeps them apart.
  for (const MessageContext& other : {MessageContext{{1}, "alpha", "beta", "share"},
                                      MessageContext{{1, 2}, "alphab", "eta", "share"},
                                      MessageContext{{1, 2}, "beta", "alpha", "share"},
                                      MessageContext{{1, 2}, "alpha", "beta", "seed"}}) {
    EXPECT_EQ(Open(key, sealed, other).error().code, base::Code::kDataLoss);
  }
  EXPECT_FALSE(Open(KeyOfSeed(2), sealed, context));
  for (std::uint8_t& byte : sealed) {
    byte ^= 0x20;
    EXPECT_FALSE(Open(key, sealed, context));
    byte ^= 0x20;
  }
  EXPECT_FALSE(Open(key, std::span(sealed).first(15), context));
  EXPECT_FALSE(Open(key, {}, context));
}

TEST(SecretBytesTest, AreGoneAfterAMove) {
  SecretBytes a(Ascii("secret"));
  const SecretBytes b = std::move(a);
  // What a moved one holds is the point.
  EXPECT_EQ(a.size(), 0u);  // NOLINT(bugprone-use-after-move,clang-analyzer-cplusplus.Move)
  EXPECT_TRUE(b == SecretBytes(Ascii("secret")));
  EXPECT_FALSE(b == SecretBytes(Ascii("secreT")));
}

}  // namespace
}  // namespace cloister::security
