#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <string>

namespace cloister::federation::rpc {

// How many calls of each certificate's name are open: one party cannot take every thread.
// Thread-safe.
class Visitors {
 public:
  // A site attends once; a second call is told why it may not, a third may be a broken stream that
  // was not noticed yet.
  static constexpr std::size_t kMostCalls = 4;

  // One open call, for as long as it lives. False where its name has too many.
  class Visit {
   public:
    Visit(Visitors& visitors, std::string name)
        : visitors_(visitors), name_(std::move(name)), admitted_(visitors_.Enter(name_)) {}
    ~Visit() {
      if (admitted_) visitors_.Leave(name_);
    }
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;
    explicit operator bool() const { return admitted_; }

   private:
    Visitors& visitors_;
    const std::string name_;
    const bool admitted_;
  };

 private:
  bool Enter(const std::string& name) {
    const std::lock_guard lock(mutex_);
    std::size_t& calls = calls_[name];
    if (calls >= kMostCalls) return false;
    ++calls;
    return true;
  }
  void Leave(const std::string& name) {
    const std::lock_guard lock(mutex_);
    const auto found = calls_.find(name);
    if (--found->second == 0) calls_.erase(found);
  }

  std::mutex mutex_;
  std::map<std::string, std::size_t> calls_;
};

}  // namespace cloister::federation::rpc
