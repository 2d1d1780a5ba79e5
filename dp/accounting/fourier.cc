#include "dp/accounting/fourier.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <kissfft/kissfft.hh>
#include <limits>
#include <numbers>

#include "base/check.h"

namespace cloister::dp {
namespace {

using Complex = std::complex<double>;

// Without the library's care for infinities.
Complex Product(Complex a, Complex b) {
  return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}

}  // namespace

std::size_t FourierSize(std::size_t size) {
  std::size_t best = std::numeric_limits<std::size_t>::max();
  const std::size_t half = std::max<std::size_t>(8, (size + 1) / 2);
  for (std::size_t fives = 1; fives < 2 * half; fives *= 5) {
    for (std::size_t threes = fives; threes < 2 * half; threes *= 3) {
      std::size_t product = threes;
      while (product < half) product *= 2;
      best = std::min(best, product);
    }
  }
  return 2 * best;
}

struct Fourier::Plan {
  std::size_t half;
  kissfft<double> series{half, false};
};

Fourier::Fourier(std::size_t size) : plan_(new Plan{size / 2}) {
  CLOISTER_CHECK(size > 0 && size % 2 == 0);
}

Fourier::~Fourier() = default;

std::vector<Complex> Fourier::Transform(const std::vector<double>& values) const {
  const std::size_t half = plan_->half;
  CLOISTER_CHECK(values.size() == 2 * half);
  std::vector<Complex> terms(half + 1);
  plan_->series.transform_real(values.data(), terms.data());
  // The last term, real as the first is, comes in its imaginary part.
  terms[half] = terms[0].imag();
  terms[0] = terms[0].real();
  return terms;
}

std::vector<double> Fourier::Inverse(const std::vector<Complex>& terms) const {
  const std::size_t half = plan_->half;
  CLOISTER_CHECK(terms.size() == half + 1);
  // Even and odd values are the real and imaginary parts of a series half as long, whose terms are
  // E + iO with E = (X[k] + X*[half - k]) / 2 and O the half difference turned by e^{2πik/size}.
  std::vector<Complex> packed(half);
  const double angle = std::numbers::pi / static_cast<double>(half);
  // e^{i angle k} from a coarse and a fine factor: two roundings for a sine and cosine each.
  constexpr std::size_t kFine = 64;
  std::array<Complex, kFine> fine;
  for (std::size_t k = 0; k < kFine; ++k) {
    fine[k] = std::polar(1.0, angle * static_cast<double>(k));
  }
  for (std::size_t start = 0; start < half; start += kFine) {
    const Complex coarse = std::polar(1.0, angle * static_cast<double>(start));
    for (std::size_t k = start; k < std::min(half, start + kFine); ++k) {
      const Complex x = terms[k];
      const Complex mirrored = std::conj(terms[half - k]);
      const Complex turn = Product(coarse, fine[k - start]);
      const Complex odd = Product(turn, x - mirrored);
      packed[k] = {(x.real() + mirrored.real() - odd.imag()) / 2,
                   -(x.imag() + mirrored.imag() + odd.real()) / 2};
    }
  }
  // The inverse is the transform between two conjugations, the first of which is made above.
  std::vector<Complex> series(half);
  plan_->series.transform(packed.data(), series.data());
  std::vector<double> values(2 * half);
  const double scale = 1 / static_cast<double>(half);
  for (std::size_t i = 0; i < half; ++i) {
    values[2 * i] = series[i].real() * scale;
    values[2 * i + 1] = -series[i].imag() * scale;
  }
  return values;
}

double TransformError(std::size_t size) {
  // A stage's factor is μ + γ₄ (√2 + μ), with μ the twiddle's error and γ₄ four roundings.
  constexpr double kUnit = std::numeric_limits<double>::epsilon() / 2;
  constexpr double kStage = (6 + 4 * 1.5) * kUnit;
  return kStage * (std::log2(static_cast<double>(size)) + 2);
}

}  // namespace cloister::dp
