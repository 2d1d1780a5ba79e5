#include "dp/matrix_factorization/sealed_noise.h"

#include <string_view>

#include "base/check.h"
#include "security/primitives.h"
#include "security/random.h"

namespace cloister::dp {
namespace {

constexpr std::size_t kKeySize = 32;
constexpr std::size_t kSaltSize = 32;
constexpr std::string_view kLabel = "cloister noise state 1";

security::SecretBytes StateKey(const security::SecretBytes& key,
                               std::span<const std::uint8_t> salt) {
  CLOISTER_CHECK(key.size() == kKeySize);
  return security::Hkdf(
      key, salt, {reinterpret_cast<const std::uint8_t*>(kLabel.data()), kLabel.size()}, kKeySize);
}

security::MessageContext ContextOf(const NoiseStateContext& context) {
  return {{}, context.job, "step " + std::to_string(context.step), "noise state"};
}

}  // namespace

std::vector<std::uint8_t> SealNoiseState(const security::SecretBytes& state,
                                         const NoiseStateContext& context,
                                         const security::SecretBytes& key) {
  std::vector<std::uint8_t> sealed(kSaltSize);
  security::SystemRandom(sealed);
  const std::vector<std::uint8_t> body =
      security::SealOnce(StateKey(key, sealed), state.bytes(), ContextOf(context));
  sealed.insert(sealed.end(), body.begin(), body.end());
  return sealed;
}

base::Result<security::SecretBytes> OpenNoiseState(std::span<const std::uint8_t> sealed,
                                                   const NoiseStateContext& context,
                                                   const security::SecretBytes& key) {
  if (sealed.size() > kSaltSize) {
    auto state = security::Open(StateKey(key, sealed.first(kSaltSize)), sealed.subspan(kSaltSize),
                                ContextOf(context));
    if (state) return state;
  }
  return base::Fail(base::Code::kDataLoss,
                    "noise state of step " + std::to_string(context.step) + " of job " +
                        context.job +
                        ": it was altered, cut off or sealed for another run: give the states "
                        "that this run sealed last, and their key");
}

}  // namespace cloister::dp
