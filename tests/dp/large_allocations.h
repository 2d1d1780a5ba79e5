#pragma once

#include <cstdint>

namespace cloister::dp {

// Of a program that links large_allocations.cc, which has an operator new of its own: how often it
// was asked for a megabyte or more.
std::int64_t LargeAllocations();

// While it lives, such requests fail.
class NoLargeAllocations {
 public:
  NoLargeAllocations();
  ~NoLargeAllocations();
  NoLargeAllocations(const NoLargeAllocations&) = delete;
  NoLargeAllocations& operator=(const NoLargeAllocations&) = delete;
};

}  // namespace cloister::dp
