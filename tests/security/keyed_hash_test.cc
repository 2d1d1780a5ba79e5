#include "security/keyed_hash.h"

#include <gtest/gtest.h>

#include <string_view>

namespace cloister::security {
namespace {

std::span<const std::uint8_t> Ascii(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

TEST(HmacSha256Key, IsHmacSha256OfEachMessage) {
  for (const std::string_view name : {"Jefe", "",
                                      "a key that is longer than the block of the hash, "
                                      "which HMAC therefore hashes before its use"}) {
    HmacSha256Key key(Ascii(name));
    for (const std::string_view message : {"what do ya want for nothing?", "", "another"}) {
      EXPECT_EQ(key.Hash(Ascii(message)), HmacSha256(Ascii(name), Ascii(message))) << message;
    }
  }
}

TEST(HmacSha256Key, JoinsItsParts) {
  HmacSha256Key key(Ascii("Jefe"));
  const std::span<const std::uint8_t> parts[] = {Ascii("what do ya "), {}, Ascii("want")};
  EXPECT_EQ(key.Hash(parts), key.Hash(Ascii("what do ya want")));
  HmacSha256Key moved(std::move(key));
  EXPECT_EQ(moved.Hash(parts), HmacSha256(Ascii("Jefe"), Ascii("what do ya want")));
}

}  // namespace
}  // namespace cloister::security
