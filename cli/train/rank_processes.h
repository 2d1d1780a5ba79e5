#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace cloister::cli {

// Starts `count` processes of this program on this machine with `arguments`, each a rank of one run
// by torchrun's environment variables, and waits for all. They meet on the loopback interface at a
// port of the system's choice. Rank 0 has this process's stdout. SIGINT and SIGTERM are passed on,
// and a second one kills. Where a rank ends early the others are told, and end too, within 30 s.
// Returns how the run ended: what rank 0 says of it, or which rank was killed.
base::Status RunRankProcesses(std::int64_t count, const std::vector<std::string>& arguments);

// On such a process, as its last act: tells the one that started it how it ended, which says so to
// the person. Elsewhere nothing.
void TellStarter(const base::Status& ended);

}  // namespace cloister::cli
