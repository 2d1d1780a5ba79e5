#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "federation/protocol/parameters.h"
#include "federation/protocol/verification.h"

namespace cloister::federation::protocol {

// How the coordinator gathers one message a site.

// Keeps the message. The same again is success, another one kAlreadyExists naming the site.
template <typename Message>
base::Status TakeOnce(const Terms& terms, std::map<SiteIndex, Message>& taken, SiteIndex site,
                      const Message& message) {
  const auto [place, inserted] = taken.try_emplace(site, message);
  if (inserted || place->second == message) return {};
  return base::Fail(
      base::Code::kAlreadyExists,
      SiteLabel(terms, site) + " sent a second, different message of this phase: ask its operator");
}

// kUnavailable naming the sites of `expected` that are missing, unless at least `least` came.
template <typename Message>
base::Status CheckEnough(const Terms& terms, const std::vector<SiteIndex>& expected,
                         const std::map<SiteIndex, Message>& taken, std::size_t least,
                         const std::string& what) {
  if (taken.size() >= least) return {};
  std::vector<SiteIndex> missing;
  for (const SiteIndex site : expected) {
    if (!taken.contains(site)) missing.push_back(site);
  }
  return base::Fail(
      base::Code::kUnavailable,
      "too few sites: " + std::to_string(taken.size()) + " " + what + " and " +
          std::to_string(least) + " must; missing: " + SiteLabels(terms, missing) +
          ": nothing was revealed; submit the job under another name when they are back");
}

}  // namespace cloister::federation::protocol
