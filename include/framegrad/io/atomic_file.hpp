// write_file_atomically — a file is replaced as a whole or not at all.
//
// The bytes go to a temporary file in the same folder, are synced to the disk, and the temporary is renamed over the
// target. Whoever reads the path, also after a crash or a full disk, finds the previous file or the complete new one.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <framegrad/core/error.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// What a writer callback writes to. Buffers small pieces; throws FileError when the disk refuses.
class FileSink {
 public:
  void write(const void* data, std::size_t bytes) {
    if (buffer_.size() + bytes < kBuffer) {
      const auto* p = static_cast<const char*>(data);
      buffer_.insert(buffer_.end(), p, p + bytes);
      return;
    }
    flush();
    write_through(static_cast<const char*>(data), bytes);
  }
  void write(std::string_view s) { write(s.data(), s.size()); }

 private:
  template <class F> friend void write_file_atomically(const std::string&, F&&);
  static constexpr std::size_t kBuffer = 1 << 16;

  FileSink(int fd, const std::string& path) : fd_(fd), path_(path) {}
  void flush() {
    write_through(buffer_.data(), buffer_.size());
    buffer_.clear();
  }
  void write_through(const char* p, std::size_t left) {
    while (left > 0) {
      const ssize_t n = ::write(fd_, p, left);
      if (n < 0 && errno == EINTR) continue;
      check<FileError>(n > 0, "write", path_, ": ", n < 0 ? std::strerror(errno) : "the device takes no more bytes");
      p += n, left -= std::size_t(n);
    }
  }

  int fd_;
  const std::string& path_;
  std::vector<char> buffer_;
};

namespace detail {

/// A file that disappears unless `keep` was reached.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& target) {
    static std::atomic<unsigned> serial{0};
    path_ = text(target, ".", ::getpid(), "-", serial++, ".tmp");  // same folder: a rename doesn't cross file systems
    fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    check<FileError>(fd_ >= 0, "write", "can't create ", path_, ": ", std::strerror(errno));
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    if (fd_ >= 0) ::close(fd_);
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  int fd() const { return fd_; }
  const std::string& path() const { return path_; }

  void rename_to(const std::string& target) {
    check<FileError>(::fsync(fd_) == 0, "write", "can't sync ", path_, ": ", std::strerror(errno));
    const int closed = ::close(std::exchange(fd_, -1));
    check<FileError>(closed == 0, "write", "can't close ", path_, ": ", std::strerror(errno));
    check<FileError>(::rename(path_.c_str(), target.c_str()) == 0, "write", "can't rename ", path_, " to ", target, ": ",
                     std::strerror(errno));
    path_.clear();
    const auto slash = target.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : target.substr(0, slash + 1);
    const int dir = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) return;  // a folder that may be written but not read: the rename stands, its durability is the kernel's
    ::fsync(dir);
    ::close(dir);
  }

 private:
  std::string path_;
  int fd_ = -1;
};

}  // namespace detail

/// Replaces `path` by what `writer(FileSink&)` writes. Throws FileError, or what the writer throws; the old file then stays.
template <class F>
void write_file_atomically(const std::string& path, F&& writer) {
  check<FileError>(!path.empty(), "write", "the path is empty");
  if constexpr (std::is_invocable_v<F&, FileSink&>) {
    detail::TemporaryFile file(path);
    FileSink sink(file.fd(), file.path());
    writer(sink);
    sink.flush();
    file.rename_to(path);
  } else {  // bytes: a string, a vector, a span
    const auto bytes = std::as_bytes(std::span(writer));
    write_file_atomically(path, [&](FileSink& sink) { sink.write(bytes.data(), bytes.size()); });
  }
}

/// The bytes of a file. Throws FileError if it can't be read or has more than `limit_bytes`.
inline std::vector<std::uint8_t> read_file(const std::string& path, std::size_t limit_bytes = std::size_t(1) << 30) {
  struct Descriptor {
    int fd;
    ~Descriptor() { if (fd >= 0) ::close(fd); }
  } file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  check<FileError>(file.fd >= 0, "read", path, ": ", std::strerror(errno));
  std::vector<std::uint8_t> bytes;
  for (std::size_t filled = 0;;) {  // by what read returns, not by the size that fstat claims: pipes have none
    bytes.resize(filled + (1 << 16));
    const ssize_t n = ::read(file.fd, bytes.data() + filled, bytes.size() - filled);
    if (n < 0 && errno == EINTR) continue;
    check<FileError>(n >= 0, "read", path, ": ", std::strerror(errno));
    filled += std::size_t(n);
    check<FileError>(filled <= limit_bytes, "read", path, " has more than ", limit_bytes, " bytes");
    if (n == 0) {
      bytes.resize(filled);
      return bytes;
    }
  }
}

}  // namespace fg::inline FRAMEGRAD_ABI
