#pragma once

#include <cstdint>

namespace cloister::dp {

// Of a program that links large_mappings.cc, which has an mmap of its own: how often it asked for a
// megabyte or more.
std::int64_t LargeMappings();

// While it lives, such requests fail.
class NoLargeMappings {
 public:
  NoLargeMappings();
  ~NoLargeMappings();
  NoLargeMappings(const NoLargeMappings&) = delete;
  NoLargeMappings& operator=(const NoLargeMappings&) = delete;
};

}  // namespace cloister::dp
