#include "tests/dp/failing_storage.h"

#include <signal.h>
#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <vector>

namespace cloister::dp {
namespace {

using Bytes = std::vector<std::uint8_t>;

// What was asked of a file since its last sync.
struct Pending {
  bool truncate = false;
  std::int64_t offset = 0;  // the new size, of a truncation
  Bytes bytes;
};

// A file as the process sees it. The disk has it without what is pending.
struct Overlay {
  bool loaded = false;
  bool removed = false;  // as its folder was not synced, the disk has it still
  Bytes content;
  std::vector<Pending> pending;
};

// The state of the one storage of the process; SQLite's interface has no place for it.
struct Storage {
  Crash crash;
  std::int64_t operations = 0;
  sqlite3_vfs* real = nullptr;
  sqlite3_vfs face{};
  std::map<std::string, Overlay> files;  // by path, power cuts only
};
Storage& TheStorage() {
  static Storage storage;
  return storage;
}

struct File {
  sqlite3_file base;
  Overlay* overlay;  // null where writes go straight through
  // The real file follows.
};
File* Mine(sqlite3_file* file) { return reinterpret_cast<File*>(file); }
sqlite3_file* Real(sqlite3_file* file) { return reinterpret_cast<sqlite3_file*>(Mine(file) + 1); }
const sqlite3_io_methods& Methods(sqlite3_file* file) { return *Real(file)->pMethods; }

int Apply(sqlite3_file* real, const Pending& one, std::size_t size) {
  if (one.truncate) return real->pMethods->xTruncate(real, one.offset);
  return real->pMethods->xWrite(real, one.bytes.data(), static_cast<int>(size), one.offset);
}

void ApplyEverySecond(sqlite3_file* real, const Overlay& overlay) {
  for (std::size_t i = 1; i < overlay.pending.size(); i += 2) {
    const Pending& one = overlay.pending[i];
    const bool last = i + 2 >= overlay.pending.size();
    Apply(real, one, last ? one.bytes.size() / 2 : one.bytes.size());
  }
}

bool DueNow() {
  Storage& storage = TheStorage();
  return ++storage.operations == storage.crash.at;
}

[[noreturn]] void Die() {
  ::kill(::getpid(), SIGKILL);
  ::_exit(1);
}

// The files that were not asked just now lose what is pending: nothing is left to do for them.
void DieWith(sqlite3_file* file) {
  if (TheStorage().crash.kind == Crash::Kind::kTornPowerCut && Mine(file)->overlay != nullptr) {
    ApplyEverySecond(Real(file), *Mine(file)->overlay);
  }
  Die();
}

int Record(sqlite3_file* file, Pending one) {
  Bytes& content = Mine(file)->overlay->content;
  const auto end = static_cast<std::size_t>(one.offset) + one.bytes.size();
  if (one.truncate || end > content.size()) content.resize(end);
  std::copy(one.bytes.begin(), one.bytes.end(), content.begin() + one.offset);
  Mine(file)->overlay->pending.push_back(std::move(one));
  return SQLITE_OK;
}

int Write(sqlite3_file* file, const void* data, int size, sqlite3_int64 offset) {
  const bool die = DueNow();
  if (Mine(file)->overlay == nullptr) {
    if (die) Methods(file).xWrite(Real(file), data, size / 2, offset);
    if (die) Die();
    return Methods(file).xWrite(Real(file), data, size, offset);
  }
  const auto* const bytes = static_cast<const std::uint8_t*>(data);
  Record(file, {false, offset, Bytes(bytes, bytes + size)});
  if (die) DieWith(file);
  return SQLITE_OK;
}

int Truncate(sqlite3_file* file, sqlite3_int64 size) {
  const bool die = DueNow();
  if (die && Mine(file)->overlay == nullptr) Die();
  const int code = Mine(file)->overlay == nullptr ? Methods(file).xTruncate(Real(file), size)
                                                  : Record(file, {true, size, {}});
  if (die) DieWith(file);
  return code;
}

int Sync(sqlite3_file* file, int flags) {
  if (DueNow()) DieWith(file);
  if (TheStorage().crash.ignore_syncs) return SQLITE_OK;
  if (Overlay* const overlay = Mine(file)->overlay) {
    for (const Pending& one : overlay->pending) {
      if (const int code = Apply(Real(file), one, one.bytes.size()); code != SQLITE_OK) return code;
    }
    overlay->pending.clear();
  }
  return Methods(file).xSync(Real(file), flags);
}

int Read(sqlite3_file* file, void* data, int size, sqlite3_int64 offset) {
  const Overlay* const overlay = Mine(file)->overlay;
  if (overlay == nullptr) return Methods(file).xRead(Real(file), data, size, offset);
  const auto total = static_cast<std::int64_t>(overlay->content.size());
  const auto there = static_cast<std::size_t>(std::clamp<std::int64_t>(total - offset, 0, size));
  std::memset(data, 0, static_cast<std::size_t>(size));
  if (there > 0) std::memcpy(data, overlay->content.data() + offset, there);
  return there == static_cast<std::size_t>(size) ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

int FileSize(sqlite3_file* file, sqlite3_int64* size) {
  const Overlay* const overlay = Mine(file)->overlay;
  if (overlay == nullptr) return Methods(file).xFileSize(Real(file), size);
  *size = static_cast<sqlite3_int64>(overlay->content.size());
  return SQLITE_OK;
}

// Version 2 of the methods: with shared memory, without mapped reads.
const sqlite3_io_methods kMethods = {
    2,
    [](sqlite3_file* file) { return Methods(file).xClose(Real(file)); },
    Read,
    Write,
    Truncate,
    Sync,
    FileSize,
    [](sqlite3_file* file, int lock) { return Methods(file).xLock(Real(file), lock); },
    [](sqlite3_file* file, int lock) { return Methods(file).xUnlock(Real(file), lock); },
    [](sqlite3_file* file, int* held) {
      return Methods(file).xCheckReservedLock(Real(file), held);
    },
    [](sqlite3_file* file, int what, void* with) {
      return what == SQLITE_FCNTL_SIZE_HINT ? SQLITE_OK
                                            : Methods(file).xFileControl(Real(file), what, with);
    },
    [](sqlite3_file* file) { return Methods(file).xSectorSize(Real(file)); },
    // Nothing promised beyond what a plain disk does: a write may be torn.
    [](sqlite3_file*) { return 0; },
    [](sqlite3_file* file, int page, int size, int extend, void volatile** memory) {
      return Methods(file).xShmMap(Real(file), page, size, extend, memory);
    },
    [](sqlite3_file* file, int offset, int count, int flags) {
      return Methods(file).xShmLock(Real(file), offset, count, flags);
    },
    [](sqlite3_file* file) { Methods(file).xShmBarrier(Real(file)); },
    [](sqlite3_file* file, int remove) { return Methods(file).xShmUnmap(Real(file), remove); },
    nullptr,
    nullptr,
};

int Load(sqlite3_file* file, Overlay& overlay) {
  sqlite3_int64 size = 0;
  if (const int code = Methods(file).xFileSize(Real(file), &size); code != SQLITE_OK) return code;
  overlay.content.resize(static_cast<std::size_t>(size));
  overlay.loaded = true;
  if (size == 0) return SQLITE_OK;
  return Methods(file).xRead(Real(file), overlay.content.data(), static_cast<int>(size), 0);
}

bool IsRemoved(const char* path) {
  const auto& files = TheStorage().files;
  const auto found = path == nullptr ? files.end() : files.find(path);
  return found != files.end() && found->second.removed;
}

int Open(sqlite3_vfs*, const char* path, sqlite3_file* file, int flags, int* out_flags) {
  Storage& storage = TheStorage();
  file->pMethods = nullptr;
  if (IsRemoved(path) && (flags & SQLITE_OPEN_CREATE) == 0) return SQLITE_CANTOPEN;
  const int code = storage.real->xOpen(storage.real, path, Real(file), flags, out_flags);
  file->pMethods = nullptr;
  if (code != SQLITE_OK) return code;
  file->pMethods = &kMethods;
  Mine(file)->overlay = nullptr;
  if (storage.crash.kind == Crash::Kind::kKill || path == nullptr) return SQLITE_OK;
  Overlay& overlay = storage.files[path];
  Mine(file)->overlay = &overlay;
  if (overlay.removed) {  // a new file, once it is synced
    overlay.removed = false;
    overlay.pending.push_back({true, 0, {}});
  }
  return overlay.loaded ? SQLITE_OK : Load(file, overlay);
}

int Delete(sqlite3_vfs*, const char* path, int sync_folder) {
  Storage& storage = TheStorage();
  if (DueNow()) Die();
  const bool lasts = sync_folder != 0 && !storage.crash.ignore_syncs;
  if (storage.crash.kind == Crash::Kind::kKill || lasts) {
    storage.files.erase(path);
    return storage.real->xDelete(storage.real, path, sync_folder);
  }
  storage.files[path] = {.loaded = true, .removed = true, .content = {}, .pending = {}};
  return SQLITE_OK;
}

int Access(sqlite3_vfs*, const char* path, int flags, int* result) {
  if (!IsRemoved(path)) return TheStorage().real->xAccess(TheStorage().real, path, flags, result);
  *result = 0;
  return SQLITE_OK;
}

}  // namespace

void InstallFailingStorage(const Crash& crash) {
  Storage& storage = TheStorage();
  storage.crash = crash;
  storage.real = sqlite3_vfs_find(nullptr);
  storage.face = *storage.real;
  storage.face.zName = "failing";
  storage.face.szOsFile = static_cast<int>(sizeof(File)) + storage.real->szOsFile;
  storage.face.xOpen = Open;
  storage.face.xDelete = Delete;
  storage.face.xAccess = Access;
  sqlite3_vfs_register(&storage.face, 1);
}

}  // namespace cloister::dp
