#pragma once

#include "base/result.h"

namespace cloister::security {

// Takes the network from this process for good (seccomp): socket(), connect(), bind(), listen(),
// accept() fail with EPERM, also in its threads and children. Descriptors that are open stay
// usable.
base::Status DenyNetwork();

}  // namespace cloister::security
