#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/result.h"

namespace cloister::trainer {

// Which rank of how many this process is, and where they meet: at the first rank, or where
// `agent_store` at whatever started them.
struct Placement {
  std::int64_t rank = 0;
  std::int64_t size = 1;
  std::int64_t local_size = 1;     // ranks of this machine that share its processors
  std::int64_t local_rank = 0;     // which of them this is
  std::string host = "127.0.0.1";  // of the meeting place
  std::uint16_t port = 0;
  std::string attempt = "0";   // a restart of all ranks meets under another name
  bool agent_store = false;    // torchrun's agent serves the meeting place, not the first rank
  std::optional<int> socket;   // that listens at `port`, open in the first rank
  bool loopback_only = false;  // all ranks are on this machine: nothing listens beyond it
};

// What an environment variable says; null for none. As std::getenv.
using Environment = std::function<const char*(const char* name)>;

// From the environment of torchrun (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT; LOCAL_WORLD_SIZE,
// LOCAL_RANK, TORCHELASTIC_USE_AGENT_STORE, TORCHELASTIC_RESTART_COUNT) or else of srun
// (SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID; the first host of SLURM_JOB_NODELIST and a port made
// of SLURM_JOB_ID where MASTER_ADDR and MASTER_PORT do not say them). One process where there is
// neither. kInvalidArgument naming the variable that is missing or no number.
base::Result<Placement> PlacementFrom(const Environment& environment);

// "a[3-5,9],b" → "a3": the first host of a list as Slurm writes it
// (https://slurm.schedmd.com/sbatch.html, SLURM_JOB_NODELIST). Empty where it is none.
std::string FirstHost(const std::string& list);

// For a process that starts the others on this machine (`cloister train --nproc`): what it puts
// into their environment beside torchrun's variables. The number of an open, listening socket.
inline constexpr const char* kStoreSocketVariable = "CLOISTER_STORE_SOCKET";

}  // namespace cloister::trainer
