#pragma once

#include <filesystem>
#include <memory>

#include "base/result.h"
#include "federation/site/worker_channel.h"

namespace cloister::federation::site {

// Starts `program worker --fd 3` with one end of a socket pair as descriptor 3 and nothing else
// open but standard input (empty), output and error (this process's stderr). The worker sees the
// end of its channel when this process dies, and is told SIGTERM then; destroying the channel
// closes it and waits for the worker, at last by SIGKILL. kNotFound when the program cannot be
// started.
base::Result<std::unique_ptr<WorkerChannel>> StartWorker(const std::filesystem::path& program);

// The same protocol over a descriptor that is already connected to a worker; takes it over.
std::unique_ptr<WorkerChannel> WorkerOver(int fd);

}  // namespace cloister::federation::site
