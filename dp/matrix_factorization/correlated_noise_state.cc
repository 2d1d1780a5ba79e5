// The serialized form of CorrelatedNoise, little-endian: a header, rows of int64 from the oldest to
// the newest, and SHA-256 of both.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "base/check.h"
#include "dp/matrix_factorization/correlated_noise.h"

namespace cloister::dp {
namespace {

static_assert(std::endian::native == std::endian::little, "Cloister runs on little-endian hosts");

struct Header {
  std::array<char, 8> version;
  security::Sha256Digest plan;
  std::array<std::uint8_t, 16> run;
  CorrelatedNoise::Mark mark;
  CorrelatedNoise::Mark recorded;
  std::int64_t first_row;  // step of the first row that follows
  std::int64_t rows;
};
constexpr std::array<char, 8> kVersion = {'C', 'L', 'N', 'O', 'I', 'S', 'E', '2'};
constexpr std::size_t kDigest = std::tuple_size_v<security::Sha256Digest>;
static_assert(sizeof(Header) == 104 && std::is_trivially_copyable_v<Header>);

tl::unexpected<base::Error> Damaged(const std::string& what) {
  return base::Fail(base::Code::kDataLoss,
                    "noise state: " + what + ": give the states that this run sealed last");
}

template <typename T>
std::span<const std::uint8_t> BytesOf(const T& value) {
  return {reinterpret_cast<const std::uint8_t*>(&value), sizeof value};
}

}  // namespace

security::Sha256Digest CorrelatedNoise::PlanDigest() const {
  security::Sha256 hash;
  hash.Update("cloister correlated noise 1").Update(matrix_.Digest());
  hash.Update(BytesOf(dimension_)).Update(BytesOf(sigma_)).Update(BytesOf(purpose_));
  return hash.Finish();
}

security::SecretBytes CorrelatedNoise::Serialize() const { return SerializeRows(KeptRows()); }

security::SecretBytes CorrelatedNoise::SerializeLastRow() const {
  return SerializeRows(std::min<std::int64_t>(1, KeptRows()));
}

// What later steps read: with one band, nothing.
std::int64_t CorrelatedNoise::KeptRows() const {
  return std::min(matrix_.bands() - 1, step_ - oldest_);
}

security::SecretBytes CorrelatedNoise::SerializeRows(std::int64_t rows) const {
  const Header header{kVersion, PlanDigest(), run_, mark_, recorded_, step_ - rows, rows};
  const std::size_t row_bytes = static_cast<std::size_t>(dimension_) * sizeof(std::int64_t);
  const std::size_t body = sizeof header + static_cast<std::size_t>(rows) * row_bytes;
  security::SecretBytes state(body + kDigest);
  const std::span<std::uint8_t> bytes = state.mutable_bytes();
  std::memcpy(bytes.data(), &header, sizeof header);
  for (std::int64_t row = 0; row < rows; ++row) {
    std::memcpy(bytes.data() + sizeof header + static_cast<std::size_t>(row) * row_bytes,
                RowOf(header.first_row + row).data(), row_bytes);
  }
  const security::Sha256Digest digest = security::HashBytes(bytes.first(body));
  std::copy(digest.begin(), digest.end(), bytes.begin() + static_cast<std::ptrdiff_t>(body));
  return state;
}

base::Status CorrelatedNoise::Read(std::span<const std::uint8_t> state, bool first) {
  if (state.size() < sizeof(Header) + kDigest) return Damaged("it is cut off");
  Header header;
  std::memcpy(&header, state.data(), sizeof header);
  if (header.version != kVersion) return Damaged("it is of another version, or none at all");
  if (header.plan != PlanDigest()) {
    return Damaged("it belongs to another factorization, dimension or noise");
  }
  if (header.first_row < 0 || header.first_row > matrix_.steps() || header.rows < 0 ||
      header.rows > std::min(slots_, matrix_.steps() - header.first_row)) {
    return Damaged("its steps are not the plan's");
  }
  const std::size_t row_bytes = static_cast<std::size_t>(dimension_) * sizeof(std::int64_t);
  const std::size_t body = sizeof header + static_cast<std::size_t>(header.rows) * row_bytes;
  if (state.size() != body + kDigest) return Damaged("it is cut off, or too long");
  const security::Sha256Digest digest = security::HashBytes(state.first(body));
  if (!std::equal(digest.begin(), digest.end(),
                  state.begin() + static_cast<std::ptrdiff_t>(body))) {
    return Damaged("its bytes were altered");
  }
  if (first) {
    run_ = header.run;
    step_ = oldest_ = header.first_row;
  } else if (header.run != run_) {
    return Damaged("two runs are mixed");
  } else if (matrix_.bands() == 1 && header.first_row > step_) {
    step_ = oldest_ = header.first_row;  // no step reads a row before it
  } else if (header.first_row != step_) {
    return Damaged("the rows of steps are missing or out of order");
  }
  mark_ = header.mark;
  recorded_ = header.recorded;
  for (std::int64_t row = 0; row < header.rows; ++row, ++step_) {
    const std::span<std::int64_t> target = RowOf(step_);
    std::memcpy(target.data(),
                state.data() + sizeof header + static_cast<std::size_t>(row) * row_bytes,
                row_bytes);
    for (const std::int64_t number : target) {
      if (!(std::abs(static_cast<double>(number)) <= largest_)) {
        return Damaged("a number is larger than any noise of this plan");
      }
    }
  }
  oldest_ = std::max(oldest_, step_ - slots_);
  return {};
}

base::Result<CorrelatedNoise> CorrelatedNoise::Restore(
    BandedMatrix matrix, std::int64_t dimension, double sigma, security::AesCtrStream random,
    std::span<const std::span<const std::uint8_t>> states, const security::Sha256Digest& purpose) {
  CLOISTER_ASSIGN_OR_RETURN(CorrelatedNoise noise, Create(std::move(matrix), dimension, sigma,
                                                          std::move(random), purpose));
  if (states.empty()) return Damaged("there is none");
  bool first = true;
  for (const std::span<const std::uint8_t> state : states) {
    CLOISTER_RETURN_IF_ERROR(noise.Read(state, std::exchange(first, false)));
  }
  if (noise.KeptRows() < std::min(noise.matrix_.bands() - 1, noise.step_)) {
    return Damaged("it lacks rows that the next step needs");
  }
  return noise;
}

}  // namespace cloister::dp
