// MappedFile — a file seen as memory; its pages are read when first touched.
//
// The mapping is private: writing to it changes this process's copy of a page and never the file, so tensors over it can be
// trained. The file may be replaced or deleted meanwhile, but not shortened in place: touching a page that is gone ends a process.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include <framegrad/core/tensor.hpp>

namespace fg::inline FRAMEGRAD_ABI {

class MappedFile {
 public:
  /// Throws FileError if `path` can't be read or is no regular file.
  explicit MappedFile(const std::string& path) {
    struct Descriptor {
      int fd;
      ~Descriptor() { if (fd >= 0) ::close(fd); }
    } file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    check<FileError>(file.fd >= 0, "read", path, ": ", std::strerror(errno));
    struct stat s {};
    check<FileError>(::fstat(file.fd, &s) == 0, "read", path, ": ", std::strerror(errno));
    check<FileError>(S_ISREG(s.st_mode), "read", path, " is no regular file");
    size_ = std::size_t(s.st_size);
    if (size_ == 0) return;
    data_ = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE, file.fd, 0);
    check<FileError>(data_ != MAP_FAILED, "read", path, " can't be mapped: ", std::strerror(errno));
  }
  ~MappedFile() {
    if (size_ > 0) ::munmap(data_, size_);
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  char* data() const { return static_cast<char*>(data_); }
  std::size_t size() const { return size_; }

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

/// A tensor over bytes [begin, …) of the mapping, which stays as long as the tensor; a copy where the bytes aren't aligned for
/// the type. The caller has checked the range. Throws FileError "origin: …" for a bool that is neither 0 nor 1.
inline AnyTensor tensor_over(const std::shared_ptr<MappedFile>& file, std::size_t begin, Dtype dtype, const Geometry& g, std::string_view origin) {
  char* p = file->data() + begin;
  const Index bytes = g.count() * item_bytes(dtype);
  if (dtype == Dtype::boolean)
    for (Index i = 0; i < bytes; ++i) check<FileError>(std::uint8_t(p[i]) <= 1, origin, "a bool is ", int(std::uint8_t(p[i])), ", it must be 0 or 1");
  if (reinterpret_cast<std::uintptr_t>(p) % std::uintptr_t(item_bytes(dtype)) != 0) {
    AnyTensor copy = AnyTensor::empty(dtype, g.sizes, g.strides, kCpu);
    std::memcpy(copy.raw(), p, std::size_t(bytes));
    return copy;
  }
  return AnyTensor::over(std::make_shared<Storage>(p, bytes, [file] {}), dtype, g);
}

}  // namespace fg::inline FRAMEGRAD_ABI
