// What a rendering really allocates, against the limit it was given: every allocation of this
// program is counted.
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>
#include <string>

#include "model/jinja/template.h"

namespace {

std::atomic<std::size_t> g_live{0};
std::atomic<std::size_t> g_peak{0};

void* Counted(std::size_t bytes) {
  void* memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) throw std::bad_alloc();
  const std::size_t live = g_live += malloc_usable_size(memory);
  if (live > g_peak) g_peak = live;  // one thread renders
  return memory;
}

void Discounted(void* memory) {
  if (memory == nullptr) return;
  g_live -= malloc_usable_size(memory);
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t bytes) { return Counted(bytes); }
void* operator new[](std::size_t bytes) { return Counted(bytes); }
void operator delete(void* memory) noexcept { Discounted(memory); }
void operator delete[](void* memory) noexcept { Discounted(memory); }
void operator delete(void* memory, std::size_t) noexcept { Discounted(memory); }
void operator delete[](void* memory, std::size_t) noexcept { Discounted(memory); }

namespace cloister::model::jinja {
namespace {

struct Outcome {
  bool rendered = false;
  std::size_t peak = 0;
};

Outcome Render(const std::string& source, const Limits& limits) {
  const std::size_t before = g_live;
  g_peak = before;
  const auto parsed = Template::Parse(source, limits);
  const auto text = parsed->Render(nlohmann::ordered_json::object());
  return {text.has_value(), g_peak - before};
}

// The largest peak over the limit, for texts of many sizes of one piece.
double LargestPeak(const std::string& use, const std::string& piece, const Limits& limits) {
  double largest = 0;
  for (std::size_t bytes = 500'000; bytes < 16'000'000; bytes += bytes / 2) {
    const std::string count = std::to_string(bytes / piece.size());
    const Outcome outcome =
        Render("{% set s = \"" + piece + "\" * " + count + " %}{% set q = " + use + " %}", limits);
    largest = std::max(largest, static_cast<double>(outcome.peak));
  }
  return largest / static_cast<double>(limits.memory_bytes);
}

TEST(TemplateMemory, OperationsThatDecodeAndCutStayWithinEightTimesTheLimit) {
  Limits limits;
  limits.memory_bytes = std::size_t{16} << 20;
  for (const char* use :
       {"s|trim(s)", "s|wordwrap(s|length)", "s|wordwrap(10)", "s|attr(s)", "s[s]", "s|int",
        "s|float", "s|filesizeformat", "s|truncate(3000000, true)", "s.expandtabs(3)",
        "strftime_now(s)", "s|map(attribute=s)|list", "('x'|safe).join([s, s])",
        "('<%r>'|safe) % s", "s|escape"}) {
    for (const char* piece : {"a ", "a-", "\u00e9 ", "\U0001F600", "'"}) {
      EXPECT_LE(LargestPeak(use, piece, limits), 8) << use << " of " << piece;
    }
  }
}

TEST(TemplateMemory, StaysWithinTwiceTheLimit) {
  Limits limits;
  limits.memory_bytes = std::size_t{16} << 20;
  for (const char* use : {"s ~ s",
                          "s + s",
                          "s * 2",
                          "'%s%s' % (s, s)",
                          "'%s%s%s%s' % (s, s, s, s)",
                          "'%9000000s' % s",
                          "'%.9000000d' % 1",
                          "'%09000000d' % 1",
                          "('<%s>'|safe) % s",
                          "('<{}>'|safe).format(s)",
                          "'{0}{0}'.format(s)",
                          "'{:^9000000}'.format(s)",
                          "'{:09000000}'.format(1)",
                          "'{!r}'.format(s)",
                          "s|replace('a', 'aa')",
                          "[s, s]|join",
                          "[s, s]|string",
                          "s|escape",
                          "s|upper",
                          "s|title",
                          "s|center(9000000)",
                          "s|indent",
                          "s|tojson",
                          "[s, s]|tojson",
                          "s|list|length",
                          "s.split('x')",
                          "s|wordwrap"}) {
    int refused = 0;
    for (std::size_t bytes = 500'000; bytes < 16'000'000; bytes += bytes / 4) {
      const Outcome outcome = Render(
          "{% set s = '<' * " + std::to_string(bytes) + " %}{% set q = " + use + " %}", limits);
      refused += outcome.rendered ? 0 : 1;
      EXPECT_LE(outcome.peak, 2 * limits.memory_bytes) << use << ", " << bytes << " bytes";
    }
    EXPECT_GT(refused, 0) << use;
  }
}

}  // namespace
}  // namespace cloister::model::jinja
