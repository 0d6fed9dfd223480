// SPDX-License-Identifier: BSD-2-Clause
// Reads cpio archives (newc) from memory: plain or gzip, several in a row. Builds on the host too: knows no kernel object.
#pragma once

#include <span>
#include <string_view>

#include <libkern/result.hpp>
#include <libkern/types.hpp>

namespace lentil {

/// One entry's header.
struct CpioEntry {
    std::string_view name; ///< not empty, no terminator; as the archive has it ("./bin/sh", "/bin/sh", "bin/sh")
    uint32_t inode = 0, mode = 0, uid = 0, gid = 0, links = 0, mtime = 0, size = 0;
    uint32_t dev_major = 0, dev_minor = 0, rdev_major = 0, rdev_minor = 0;
    std::string_view target; ///< of a symbolic link
};

/// What is done with the entries. An error ends the reading.
class CpioVisitor {
public:
    virtual Result<void> begin(const CpioEntry& entry) = 0;
    /// The contents of a regular file, piece by piece, in order.
    virtual Result<void> data(std::span<const uint8_t> bytes) = 0;
    /// After the last piece. The same entry as at begin.
    virtual Result<void> end(const CpioEntry& entry) = 0;
    /// An archive's trailer: inode numbers that follow belong to another one.
    virtual void trailer() = 0;

protected:
    ~CpioVisitor() = default;
};

/// Memory for the reader: about 60 KiB while gzip is read.
struct CpioMemory {
    void* (*allocate)(size_t bytes);
    void (*free)(void* memory, size_t bytes);
};

/// Where and why reading ended early.
struct CpioError {
    Errno error{};
    const char* text = ""; ///< for people
    uint64_t offset = 0;   ///< in the input
};

/// Reads everything in `input`, by the rules of Linux's initramfs buffer format: archives may follow each other, each
/// plain (at a multiple of 4) or gzip; zero bytes between and after them are skipped; anything else is an error, and so
/// is an archive without its trailer. False on an error, with `error` filled in.
bool cpio_read(std::span<const uint8_t> input, const CpioMemory& memory, CpioVisitor& visitor, CpioError& error);

} // namespace lentil
